// The answer to IDENTIFY DEVICE (ATA/ATAPI-6, 8.15; words 69, 105, 106, 169 and 217: ACS-2, 7.16).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace outboard::sim {

/// What can be told to a disk by SET FEATURES and SET MULTIPLE MODE.
struct IdeSettings {
    bool write_cache = true;
    bool look_ahead = true;
    std::uint8_t dma_mode = 0x45;  ///< as SET FEATURES states it: Ultra DMA 5
    std::uint8_t multiple = 0;     ///< sectors between interrupts; 0: the commands are off
    bool reverts_on_reset = true;  ///< a software reset brings the settings of power-on back
};

/// What a disk says of itself.
struct IdeIdentity {
    std::string serial;    ///< up to 20 characters
    std::string model;     ///< up to 40
    std::string firmware;  ///< up to 8
    std::uint64_t sectors = 0;
    std::uint32_t sector_size = 512;  ///< bytes of a logical sector
    bool extended = true;             ///< has the 48-bit commands, and with them FUA and TRIM
    bool has_write_cache = true;
    unsigned unit = 0;
    bool serial_ata = false;   ///< behind a SATA link, with READ LOG EXT
    unsigned queue_depth = 0;  ///< of native command queuing; 0: it has none
};

/// 256 words, each low byte first.
std::array<std::byte, 512> identify_data(const IdeIdentity& identity, const IdeSettings& settings);

}  // namespace outboard::sim
