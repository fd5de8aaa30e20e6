// What a failed ATA command means: the error register (ATA/ATAPI-6, 7.8; ACS-3, 6.3) as a BlockStatus and as
// words. Pure.
#pragma once

#include "outboard/ata/command.hpp"
#include "outboard/classes/block_device.hpp"

#include <cstdint>
#include <string>

namespace outboard::ata {

/// Bits of the status register (ACS-3, 6.2).
inline constexpr std::uint8_t status_busy = 0x80;
inline constexpr std::uint8_t status_device_fault = 0x20;
inline constexpr std::uint8_t status_data_request = 0x08;
inline constexpr std::uint8_t status_error = 0x01;

/// Bits of the error register.
inline constexpr std::uint8_t error_interface_crc = 0x80;
inline constexpr std::uint8_t error_uncorrectable = 0x40;
inline constexpr std::uint8_t error_id_not_found = 0x10;
inline constexpr std::uint8_t error_aborted = 0x04;
inline constexpr std::uint8_t error_address_mark = 0x01;

/// What the caller of a request is told that failed with these bits in the error register: the medium's fault
/// or the device's.
BlockStatus block_status(std::uint8_t error) noexcept;

/// "the medium's data could not be corrected (UNC), the device aborted the command (ABRT)".
std::string describe_error(std::uint8_t error);

/// "READ DMA of 8 sectors at LBA 2048": the command in words.
std::string describe(const TaskFile& task);

}  // namespace outboard::ata
