// Registers and memory structures of an AHCI HBA, as the device side sees them (Serial ATA AHCI 1.3.1,
// clauses 3 and 4), and the frame information structures (Serial ATA 3.x, 10.5).
#pragma once

#include <cstddef>
#include <cstdint>

namespace outboard::sim::ahci {

inline constexpr unsigned most_ports = 32;
inline constexpr unsigned most_slots = 32;

// ---- generic host control ----

enum HostRegister : unsigned {
    host_capabilities = 0x00,
    host_control = 0x04,
    host_interrupt_status = 0x08,
    host_ports = 0x0c,
    host_version = 0x10,
    host_capabilities_2 = 0x24,
    host_handoff = 0x28,
};

inline constexpr std::uint32_t cap_addresses_64 = 1U << 31;
inline constexpr std::uint32_t cap_queuing = 1U << 30;
inline constexpr std::uint32_t cap_staggered_spin_up = 1U << 27;
inline constexpr std::uint32_t cap_list_override = 1U << 24;
inline constexpr std::uint32_t cap_speed_6 = 3U << 20;
inline constexpr std::uint32_t cap_ahci_only = 1U << 18;
inline constexpr unsigned cap_slots_shift = 8;

inline constexpr std::uint32_t control_enable = 1U << 31;
inline constexpr std::uint32_t control_interrupts = 1U << 1;
inline constexpr std::uint32_t control_reset = 1U << 0;

inline constexpr std::uint32_t version_1_3_1 = 0x00010301;
inline constexpr std::uint32_t cap2_handoff = 1U << 0;
inline constexpr std::uint32_t handoff_os = 1U << 1;
inline constexpr std::uint32_t handoff_firmware = 1U << 0;

// ---- a port's, from 100h on, 80h bytes each ----

inline constexpr unsigned first_port = 0x100;
inline constexpr unsigned port_size = 0x80;

enum PortRegister : unsigned {
    port_list = 0x00,
    port_list_upper = 0x04,
    port_fis = 0x08,
    port_fis_upper = 0x0c,
    port_interrupt_status = 0x10,
    port_interrupt_enable = 0x14,
    port_command = 0x18,
    port_task_file = 0x20,
    port_signature = 0x24,
    port_link_status = 0x28,
    port_link_control = 0x2c,
    port_link_error = 0x30,
    port_active = 0x34,
    port_issue = 0x38,
};

inline constexpr std::uint32_t int_task_file_error = 1U << 30;
inline constexpr std::uint32_t int_host_fatal = 1U << 29;
inline constexpr std::uint32_t int_host_data = 1U << 28;
inline constexpr std::uint32_t int_overflow = 1U << 24;
inline constexpr std::uint32_t int_phy_change = 1U << 22;     ///< PRCS; follows PxSERR.DIAG.N
inline constexpr std::uint32_t int_connect_change = 1U << 6;  ///< PCS; follows PxSERR.DIAG.X
inline constexpr std::uint32_t int_set_device_bits = 1U << 3;
inline constexpr std::uint32_t int_pio_setup = 1U << 1;
inline constexpr std::uint32_t int_register_fis = 1U << 0;
inline constexpr std::uint32_t int_all = 0xfdc000ff;

inline constexpr std::uint32_t cmd_start = 1U << 0;
inline constexpr std::uint32_t cmd_spin_up = 1U << 1;
inline constexpr std::uint32_t cmd_power_on = 1U << 2;
inline constexpr std::uint32_t cmd_list_override = 1U << 3;
inline constexpr std::uint32_t cmd_fis_enable = 1U << 4;
inline constexpr unsigned cmd_slot_shift = 8;
inline constexpr std::uint32_t cmd_fis_running = 1U << 14;
inline constexpr std::uint32_t cmd_list_running = 1U << 15;
/// What a client may write: ST, SUD, FRE, PMA, ATAPI, LED, ALPE, ASP, ICC.
inline constexpr std::uint32_t cmd_writable = 0xff000000 | cmd_fis_enable | cmd_spin_up | cmd_start;

inline constexpr std::uint32_t link_up = 0x133;  ///< DET established, 6 Gb/s, active
inline constexpr std::uint32_t link_control_reset = 1;
inline constexpr std::uint32_t link_control_detection = 0xf;
inline constexpr std::uint32_t link_error_phy = 1U << 16;        ///< DIAG.N
inline constexpr std::uint32_t link_error_exchanged = 1U << 26;  ///< DIAG.X

inline constexpr std::uint32_t ata_signature = 0x00000101;
inline constexpr std::uint32_t no_signature = 0xffffffff;
inline constexpr std::uint32_t task_file_without_disk = 0x7f;

// ---- memory ----

inline constexpr std::size_t header_size = 32;
inline constexpr std::uint32_t header_write = 1U << 6;
inline constexpr unsigned header_entries_shift = 16;
inline constexpr std::size_t table_entries = 0x80;  ///< where the PRDT begins in a command table
inline constexpr std::size_t entry_size = 16;
inline constexpr std::uint32_t entry_bytes = 0x3fffff;  ///< less one

enum ReceivedFis : unsigned { received_pio_setup = 0x20, received_register = 0x40, received_set_bits = 0x58 };

inline constexpr std::uint8_t fis_command = 0x27;
inline constexpr std::uint8_t fis_is_command = 0x80;  ///< C
inline constexpr std::uint8_t fis_register = 0x34;
inline constexpr std::uint8_t fis_pio_setup = 0x5f;
inline constexpr std::uint8_t fis_set_bits = 0xa1;
inline constexpr std::uint8_t fis_interrupt = 0x40;  ///< I
inline constexpr std::size_t fis_command_size = 20;

}  // namespace outboard::sim::ahci
