// The answer to IDENTIFY DEVICE.
#include "outboard/ata/identify.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <string>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"

namespace outboard::fuzz {
namespace {

void require_tidy(const std::string& text, std::size_t longest) {
    require(text.size() <= longest, "a text is not longer than its words");
    require(std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; }), "a text is printable");
    require(text.empty() || (text.front() != ' ' && text.back() != ' '), "a text is trimmed");
}

void require_mode(const std::optional<ata::TransferMode>& mode) {
    if (!mode)
        return;
    const std::string text = to_string(*mode);
    require(text.starts_with("UDMA") || text.starts_with("MWDMA"), "a DMA mode is one of DMA");
    require((mode->code & 7) <= 6, "there is such a mode");
}

}  // namespace

void run(Input input) {
    std::array<std::uint16_t, 256> words{};
    for (std::uint16_t& word : words)
        word = input.take<std::uint16_t>();
    const auto identity = ata::parse_identify(words);
    if (!identity) {
        require(!identity.error().empty(), "a refusal says why");
        return;
    }
    require_tidy(identity->model, 40);
    require_tidy(identity->serial, 20);
    require_tidy(identity->firmware, 8);
    require(identity->sectors > 0 && identity->sectors <= std::uint64_t{1} << 48, "a disk has sectors");
    require(identity->lba48 || identity->sectors <= 0x0fffffff, "28 bits address them all");
    require(identity->sector_size == 512 || identity->sector_size == 4096, "a sector has 512 or 4096 bytes");
    require(std::has_single_bit(identity->physical_sector_size) &&
                identity->physical_sector_size >= identity->sector_size,
            "a physical sector is made of whole logical ones");
    require(!identity->flush_ext || identity->lba48, "48-bit commands come together");
    require(!identity->trim || (identity->lba48 && identity->dma), "TRIM needs DMA");
    require(!identity->dma || identity->best_dma, "DMA has a mode");
    require(!identity->write_cache_enabled || identity->write_cache, "a cache that is on is there");
    require_mode(identity->selected_dma);
    require_mode(identity->best_dma);
}

}  // namespace outboard::fuzz
