// The answer to IDENTIFY DEVICE (ATA/ATAPI-7 volume 1, 6.17; ACS-3, 7.12): 256 words of the device's own,
// read with suspicion. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace outboard::ata {

/// Transfer modes by their code in SET FEATURES 03h (ATA/ATAPI-7 volume 1, table 44): bits 7:3 the kind, 2:0
/// the mode.
struct TransferMode {
    std::uint8_t code = 0;

    static constexpr TransferMode pio(unsigned mode) { return {static_cast<std::uint8_t>(0x08 | mode)}; }
    static constexpr TransferMode multiword_dma(unsigned mode) {
        return {static_cast<std::uint8_t>(0x20 | mode)};
    }
    static constexpr TransferMode ultra_dma(unsigned mode) {
        return {static_cast<std::uint8_t>(0x40 | mode)};
    }

    friend constexpr bool operator==(TransferMode, TransferMode) = default;
};

/// "UDMA5", "MWDMA2", "PIO4".
std::string to_string(TransferMode mode);

/// What a disk says of itself, checked.
struct DiskIdentity {
    std::string model;  ///< printable, trimmed
    std::string serial;
    std::string firmware;

    std::uint64_t sectors = 0;        ///< logical sectors
    std::uint32_t sector_size = 512;  ///< bytes of a logical sector: 512 or 4096
    std::uint32_t physical_sector_size = 512;

    bool lba48 = false;        ///< has the 48-bit commands
    bool dma = false;          ///< READ DMA and WRITE DMA
    bool write_cache = false;  ///< has one that can be switched
    bool write_cache_enabled = false;
    bool read_look_ahead = false;
    bool flush = false;              ///< FLUSH CACHE
    bool flush_ext = false;          ///< FLUSH CACHE EXT
    bool force_unit_access = false;  ///< WRITE DMA FUA EXT
    bool trim = false;               ///< DATA SET MANAGEMENT with TRIM
    std::uint16_t trim_blocks = 0;   ///< most 512-byte blocks of ranges a TRIM takes; 0: not stated
    bool rotational = true;
    unsigned queue_depth = 0;  ///< commands that it takes at a time by native command queuing; 0: it has none
    bool logs = false;         ///< has READ LOG EXT

    std::optional<TransferMode> selected_dma;  ///< the DMA mode the device is in
    std::optional<TransferMode> best_dma;      ///< the fastest it offers
};

/// Reads the data of IDENTIFY DEVICE, 256 words in host order. On refusal: why this is not a disk that can be
/// driven.
std::expected<DiskIdentity, std::string_view> parse_identify(std::span<const std::uint16_t, 256> words);

}  // namespace outboard::ata
