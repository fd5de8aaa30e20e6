// Registers of an ATA channel behind a PCI IDE controller. Task file and control block: ATA/ATAPI-6 clause 7
// (the names are those of ATA/ATAPI-6 and later). Bus-master block: "Programming Interface for Bus Master IDE
// Controller", revision 1.0 (SFF-8038i), clause 2.
#pragma once

#include "outboard/base/registers.hpp"

#include <cstdint>

namespace outboard::ide {

// ---- command block: 8 bytes of BAR 0 (primary) or BAR 2 (secondary) ----

/// Data register (7.5): the words of a PIO transfer.
struct Data : Register<Data, std::uint16_t, 0, Access::read_write> {};

/// The same register taken two words at a time, low word first. Only controllers that say so take it.
struct WideData : Register<WideData, std::uint32_t, 0, Access::read_write> {};

/// Error register (7.8): why the last command failed; meaningful while Status has `error` set.
struct ErrorRegister : Register<ErrorRegister, std::uint8_t, 1, Access::read_only> {
    static constexpr Bit<ErrorRegister, 7>
        interface_crc{};  ///< ICRC: the transfer was corrupted on the cable
    static constexpr Bit<ErrorRegister, 6>
        uncorrectable{};  ///< UNC: the medium's data could not be corrected
    static constexpr Bit<ErrorRegister, 5> media_changed{};  ///< MC
    static constexpr Bit<ErrorRegister, 4>
        id_not_found{};  ///< IDNF: no such address, or its sector cannot be found
    static constexpr Bit<ErrorRegister, 3> media_requested{};  ///< MCR
    static constexpr Bit<ErrorRegister, 2> aborted{};  ///< ABRT: the device did not carry the command out
    static constexpr Bit<ErrorRegister, 1> end_of_media{};  ///< NM/EOM
    static constexpr Bit<ErrorRegister, 0> address_mark{};  ///< AMNF; CMDTO in CFA devices
};

/// Features register (7.9): parameter of some commands.
struct Features : Register<Features, std::uint8_t, 1, Access::write_only> {};

// Each of the next four is two bytes deep: a write pushes the former content into "previous content", which
// the 48-bit commands take as the high-order byte; Device Control's `high_order_byte` makes it readable.
struct SectorCount : Register<SectorCount, std::uint8_t, 2, Access::read_write> {};  ///< (7.13)
struct LbaLow : Register<LbaLow, std::uint8_t, 3, Access::read_write> {};            ///< (7.11)
struct LbaMid : Register<LbaMid, std::uint8_t, 4, Access::read_write> {};            ///< (7.12)
struct LbaHigh : Register<LbaHigh, std::uint8_t, 5, Access::read_write> {};          ///< (7.10)

/// Device register (7.6).
struct DeviceSelect : Register<DeviceSelect, std::uint8_t, 6, Access::read_write> {
    static constexpr Bit<DeviceSelect, 6> lba{};
    static constexpr Bit<DeviceSelect, 4> device1{};
};

/// Status register (7.14). Reading it acknowledges the device's interrupt.
struct Status : Register<Status, std::uint8_t, 7, Access::read_only> {
    static constexpr Bit<Status, 7> busy{};          ///< BSY: no other bit means anything
    static constexpr Bit<Status, 6> ready{};         ///< DRDY
    static constexpr Bit<Status, 5> device_fault{};  ///< DF
    static constexpr Bit<Status, 3> data_request{};  ///< DRQ: wants to transfer a block
    static constexpr Bit<Status, 0> error{};         ///< ERR: the error register says more
};

/// Command register (7.3). Writing it starts the command.
struct Command : Register<Command, std::uint8_t, 7, Access::write_only> {};

// ---- control block: one byte, where ControllerQuirks says ----

/// Alternate Status register (7.2): Status without acknowledging the interrupt.
struct AlternateStatus : Register<AlternateStatus, std::uint8_t, 0, Access::read_only> {};

/// Device Control register (7.7).
struct DeviceControl : Register<DeviceControl, std::uint8_t, 0, Access::write_only> {
    static constexpr Bit<DeviceControl, 7> high_order_byte{};  ///< HOB: read "previous content"
    static constexpr Bit<DeviceControl, 2> software_reset{};   ///< SRST
    static constexpr Bit<DeviceControl, 1> interrupts_off{};   ///< nIEN
};

// ---- bus-master block: 8 bytes a channel in BAR 4 ----

/// Bus Master IDE Command register.
struct BusMasterCommand : Register<BusMasterCommand, std::uint8_t, 0, Access::read_write> {
    static constexpr Bit<BusMasterCommand, 3> to_memory{};  ///< direction; not to be changed while active
    static constexpr Bit<BusMasterCommand, 0> start{};
};

/// Bus Master IDE Status register. `interrupt` and `error` are cleared by writing one; the two capability
/// bits are the firmware's notes and are kept.
struct BusMasterStatus : Register<BusMasterStatus, std::uint8_t, 2, Access::read_write> {
    static constexpr Bit<BusMasterStatus, 7> simplex{};  ///< one channel at a time; read only
    static constexpr Bit<BusMasterStatus, 2>
        interrupt{};  ///< the device's interrupt has risen since it was cleared
    static constexpr Bit<BusMasterStatus, 1> error{};   ///< a transfer on the PCI bus failed
    static constexpr Bit<BusMasterStatus, 0> active{};  ///< read only
    static constexpr Raw write_one_to_clear = 0x06;
    static constexpr Raw kept = 0x60;
};

/// Descriptor Table Pointer register: where the PRD table is, a multiple of 4.
struct PrdTablePointer : Register<PrdTablePointer, std::uint32_t, 4, Access::read_write> {};

}  // namespace outboard::ide
