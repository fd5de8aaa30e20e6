// Registers of an AHCI host bus adapter (Serial ATA AHCI 1.3.1, clause 3), in BAR 5.
#pragma once

#include "outboard/base/registers.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::ahci {

// ---- generic host control (3.1) ----

/// Bytes of the generic registers that this driver uses.
inline constexpr std::size_t global_bytes = 0x2c;
inline constexpr unsigned most_ports = 32;

/// HBA Capabilities (3.1.1).
struct Capabilities : Register<Capabilities, std::uint32_t, 0x00, Access::read_only> {
    static constexpr Bit<Capabilities, 31> addresses_64{};         ///< S64A
    static constexpr Bit<Capabilities, 30> queuing{};              ///< SNCQ: native command queuing
    static constexpr Bit<Capabilities, 27> staggered_spin_up{};    ///< SSS
    static constexpr Bit<Capabilities, 24> list_override{};        ///< SCLO
    static constexpr Field<Capabilities, 8, 5, unsigned> slots{};  ///< NCS: command slots, less one
};

/// Global HBA Control (3.1.2).
struct GlobalControl : Register<GlobalControl, std::uint32_t, 0x04, Access::read_write> {
    static constexpr Bit<GlobalControl, 31> ahci_enable{};      ///< AE
    static constexpr Bit<GlobalControl, 1> interrupt_enable{};  ///< IE
    static constexpr Bit<GlobalControl, 0> reset{};             ///< HR: set until the reset is over
};

/// Interrupt Status (3.1.3): a bit for each port.
struct InterruptStatus : Register<InterruptStatus, std::uint32_t, 0x08, Access::read_write> {
    static constexpr Raw write_one_to_clear = 0xffffffff;
};

/// Ports Implemented (3.1.4): a bit for each. What firmware found out; written to restore it after a reset.
struct PortsImplemented : Register<PortsImplemented, std::uint32_t, 0x0c, Access::read_write> {};

/// HBA Capabilities Extended (3.1.10).
struct Capabilities2 : Register<Capabilities2, std::uint32_t, 0x24, Access::read_only> {
    static constexpr Bit<Capabilities2, 0> handoff{};  ///< BOH: firmware may use the HBA, and gives it up
};

/// BIOS/OS Handoff Control and Status (3.1.11).
struct Handoff : Register<Handoff, std::uint32_t, 0x28, Access::read_write> {
    static constexpr Raw write_one_to_clear = 0x08;
    static constexpr Bit<Handoff, 4> firmware_busy{};   ///< BB
    static constexpr Bit<Handoff, 1> os_owned{};        ///< OOS
    static constexpr Bit<Handoff, 0> firmware_owned{};  ///< BOS
};

// ---- port registers (3.3) ----

inline constexpr std::size_t port_bytes = 0x80;
/// Where the registers of a port begin.
constexpr std::uint64_t port_offset(unsigned port) {
    return 0x100 + port * std::uint64_t{port_bytes};
}

struct CommandListBase : Register<CommandListBase, std::uint32_t, 0x00, Access::read_write> {};    ///< PxCLB
struct CommandListUpper : Register<CommandListUpper, std::uint32_t, 0x04, Access::read_write> {};  ///< PxCLBU
struct FisBase : Register<FisBase, std::uint32_t, 0x08, Access::read_write> {};                    ///< PxFB
struct FisUpper : Register<FisUpper, std::uint32_t, 0x0c, Access::read_write> {};                  ///< PxFBU

/// PxIS (3.3.5). The two changes are cleared through PxSERR.
struct PortInterrupts : Register<PortInterrupts, std::uint32_t, 0x10, Access::read_write> {
    static constexpr Raw write_one_to_clear = 0xffffffff;
    static constexpr Bit<PortInterrupts, 30> task_file_error{};  ///< TFES: the disk has set its error bit
    static constexpr Bit<PortInterrupts, 29> host_fatal{};       ///< HBFS
    static constexpr Bit<PortInterrupts, 28> host_data{};        ///< HBDS
    static constexpr Bit<PortInterrupts, 27> interface_fatal{};  ///< IFS
    static constexpr Bit<PortInterrupts, 24> overflow{};         ///< OFS: more data than the table has room
    static constexpr Bit<PortInterrupts, 22> phy_change{};       ///< PRCS
    static constexpr Bit<PortInterrupts, 6> connect_change{};    ///< PCS
    static constexpr Bit<PortInterrupts, 5> descriptor_processed{};  ///< DPS
    static constexpr Bit<PortInterrupts, 3> set_device_bits{};       ///< SDBS: queued commands have ended
    static constexpr Bit<PortInterrupts, 2> dma_setup{};             ///< DSS
    static constexpr Bit<PortInterrupts, 1> pio_setup{};             ///< PSS
    static constexpr Bit<PortInterrupts, 0> register_fis{};          ///< DHRS: a command has ended
};

/// What ends commands before their time.
inline constexpr std::uint32_t error_interrupts = 0x79000000;
/// Commands have ended: DHRS, PSS, DSS, SDBS.
inline constexpr std::uint32_t end_interrupts = 0x0000000f;
/// The disk came or went.
inline constexpr std::uint32_t link_interrupts = 0x00400040;

/// PxIE (3.3.6): the bits of PxIS that raise the interrupt.
struct PortInterruptEnable : Register<PortInterruptEnable, std::uint32_t, 0x14, Access::read_write> {};

/// PxCMD (3.3.7).
struct PortCommand : Register<PortCommand, std::uint32_t, 0x18, Access::read_write> {
    enum class Link : std::uint8_t { active = 1 };
    static constexpr Field<PortCommand, 28, 4, Link> link{};  ///< ICC
    static constexpr Bit<PortCommand, 20> cold_presence{};    ///< CPD; read only
    static constexpr Bit<PortCommand, 15> list_running{};     ///< CR; read only
    static constexpr Bit<PortCommand, 14> fis_running{};      ///< FR; read only
    static constexpr Bit<PortCommand, 4> fis_enable{};        ///< FRE
    static constexpr Bit<PortCommand, 2> power_on{};          ///< POD
    static constexpr Bit<PortCommand, 1> spin_up{};           ///< SUD
    static constexpr Bit<PortCommand, 0> start{};             ///< ST
};

/// PxTFD (3.3.8): the disk's status and error registers.
struct TaskFileData : Register<TaskFileData, std::uint32_t, 0x20, Access::read_only> {
    static constexpr Field<TaskFileData, 0, 8, std::uint8_t> status{};
    static constexpr Field<TaskFileData, 8, 8, std::uint8_t> error{};
};

/// PxSIG (3.3.9): of the disk, after its reset.
struct Signature : Register<Signature, std::uint32_t, 0x24, Access::read_only> {};
inline constexpr std::uint32_t ata_signature = 0x00000101;
inline constexpr std::uint32_t packet_signature = 0xeb140101;
inline constexpr std::uint32_t multiplier_signature = 0x96690101;

/// PxSSTS (3.3.10).
struct LinkStatus : Register<LinkStatus, std::uint32_t, 0x28, Access::read_only> {
    enum class Detection : std::uint8_t { none = 0, no_communication = 1, established = 3, off = 4 };
    static constexpr Field<LinkStatus, 0, 4, Detection> detection{};  ///< DET
};

/// PxSCTL (3.3.11).
struct LinkControl : Register<LinkControl, std::uint32_t, 0x2c, Access::read_write> {
    enum class Action : std::uint8_t { none = 0, reset = 1 };
    static constexpr Field<LinkControl, 0, 4, Action> action{};  ///< DET
};

/// PxSERR (3.3.12).
struct LinkError : Register<LinkError, std::uint32_t, 0x30, Access::read_write> {
    static constexpr Raw write_one_to_clear = 0xffffffff;
};

/// PxSACT (3.3.13): written before PxCI for queued commands; the disk clears a bit when its command has
/// ended.
struct PortActive : Register<PortActive, std::uint32_t, 0x34, Access::read_write> {};
/// PxCI (3.3.14): a bit starts a command slot; the HBA clears it.
struct PortIssue : Register<PortIssue, std::uint32_t, 0x38, Access::read_write> {};

template <class R>
constexpr bool all_ones(Value<R> value) noexcept {
    return value.raw() == 0xffffffff;
}

}  // namespace outboard::ahci
