// Registers and commands of an ATA channel behind a PCI IDE controller, as the device side sees them. Command
// and control block, commands, identify data: ATA/ATAPI-6 (T13/1410D), clauses 7 and 8; DATA SET MANAGEMENT:
// ACS-2, 7.10. Bus-master block: Bus Master IDE 1.0 (SFF-8038i).
#pragma once

#include <cstddef>
#include <cstdint>

namespace outboard::sim::ata {

/// Places in the command block.
enum Register : unsigned {
    data_register = 0,
    error_or_features = 1,  ///< read: error; written: features
    sector_count = 2,
    lba_low = 3,
    lba_mid = 4,
    lba_high = 5,
    device_register = 6,
    status_or_command = 7,  ///< read: status; written: command
};

// Status (7.15) and alternate status.
inline constexpr std::uint8_t status_busy = 0x80;           ///< BSY
inline constexpr std::uint8_t status_ready = 0x40;          ///< DRDY
inline constexpr std::uint8_t status_fault = 0x20;          ///< DF
inline constexpr std::uint8_t status_seek_complete = 0x10;  ///< DSC in older standards, disks still set it
inline constexpr std::uint8_t status_data_request = 0x08;   ///< DRQ
inline constexpr std::uint8_t status_error = 0x01;          ///< ERR

// Error (7.9).
inline constexpr std::uint8_t error_interface = 0x80;      ///< ICRC: spoiled on the cable
inline constexpr std::uint8_t error_uncorrectable = 0x40;  ///< UNC
inline constexpr std::uint8_t error_id_not_found = 0x10;   ///< IDNF
inline constexpr std::uint8_t error_aborted = 0x04;        ///< ABRT
inline constexpr std::uint8_t diagnostic_passed =
    0x01;  ///< after a reset: device 0 passed, device 1 too or none

// Device (7.7).
inline constexpr std::uint8_t device_lba = 0x40;
inline constexpr std::uint8_t device_1 = 0x10;
inline constexpr std::uint8_t device_lba_bits = 0x0f;  ///< LBA 27:24 of 28-bit commands

// Device control (7.8).
inline constexpr std::uint8_t control_high_order_byte = 0x80;  ///< HOB
inline constexpr std::uint8_t control_software_reset = 0x04;   ///< SRST
inline constexpr std::uint8_t control_no_interrupt = 0x02;     ///< nIEN

/// Command codes (clause 8).
enum Opcode : std::uint8_t {
    data_set_management = 0x06,
    read_sectors = 0x20,
    read_sectors_ext = 0x24,
    read_dma_ext = 0x25,
    read_multiple_ext = 0x29,
    read_log_ext = 0x2f,
    write_sectors = 0x30,
    write_sectors_ext = 0x34,
    write_dma_ext = 0x35,
    write_multiple_ext = 0x39,
    write_dma_fua_ext = 0x3d,
    read_verify = 0x40,
    read_verify_ext = 0x42,
    read_fpdma_queued = 0x60,
    write_fpdma_queued = 0x61,
    execute_device_diagnostic = 0x90,
    read_multiple = 0xc4,
    write_multiple = 0xc5,
    set_multiple_mode = 0xc6,
    read_dma = 0xc8,
    write_dma = 0xca,
    standby_immediate = 0xe0,
    idle_immediate = 0xe1,
    check_power_mode = 0xe5,
    flush_cache = 0xe7,
    flush_cache_ext = 0xea,
    identify_device = 0xec,
    set_features = 0xef,
};

/// Subcommands of SET FEATURES (8.46), in the features register.
enum Feature : std::uint8_t {
    enable_write_cache = 0x02,
    set_transfer_mode = 0x03,
    disable_look_ahead = 0x55,
    keep_settings_on_reset = 0x66,
    disable_write_cache = 0x82,
    enable_look_ahead = 0xaa,
    revert_settings_on_reset = 0xcc,
};

/// In the features register of DATA SET MANAGEMENT.
inline constexpr std::uint8_t trim = 0x01;

// Transfer modes as SET FEATURES states them in the sector count (table 44): kind, then number.
inline constexpr std::uint8_t mode_kind = 0xf8;
inline constexpr std::uint8_t mode_number = 0x07;
inline constexpr std::uint8_t mode_pio_default = 0x00;
inline constexpr std::uint8_t mode_pio = 0x08;
inline constexpr std::uint8_t mode_multiword_dma = 0x20;
inline constexpr std::uint8_t mode_ultra_dma = 0x40;
inline constexpr unsigned fastest_pio = 4;
inline constexpr unsigned fastest_multiword_dma = 2;
inline constexpr unsigned fastest_ultra_dma = 5;

/// Most sectors between two interrupts of READ MULTIPLE and WRITE MULTIPLE.
inline constexpr unsigned most_multiple = 16;
/// Bytes of the data of IDENTIFY DEVICE, and of a block of ranges of DATA SET MANAGEMENT.
inline constexpr std::size_t information_block = 512;
/// Most blocks of ranges that a TRIM takes.
inline constexpr unsigned most_trim_blocks = 8;
/// 28-bit commands reach the addresses below; the last of the 2^28 is none (6.2.2).
inline constexpr std::uint64_t end_of_28 = 0x0fffffff;

}  // namespace outboard::sim::ata

namespace outboard::sim::bus_master {

/// Places in the eight bytes of a channel (SFF-8038i, 2.0).
enum Register : unsigned {
    command_register = 0,
    status_register = 2,
    table_pointer = 4,  ///< four bytes
};
inline constexpr unsigned block_size = 8;

inline constexpr std::uint8_t command_start = 0x01;
inline constexpr std::uint8_t command_to_memory = 0x08;
inline constexpr std::uint8_t status_active = 0x01;
inline constexpr std::uint8_t status_error = 0x02;      ///< write one to clear
inline constexpr std::uint8_t status_interrupt = 0x04;  ///< write one to clear
inline constexpr std::uint8_t status_capable = 0x60;    ///< kept for the host: drive 0, drive 1 do DMA

/// An entry of the PRD table (1.2): 4 bytes address, 2 bytes count, 2 bytes flags.
inline constexpr std::size_t entry_size = 8;
inline constexpr std::uint32_t boundary =
    0x10000;  ///< neither a region nor the table crosses a multiple of it
inline constexpr std::uint16_t end_of_table = 0x8000;

}  // namespace outboard::sim::bus_master
