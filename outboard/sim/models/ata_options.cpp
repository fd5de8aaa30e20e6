#include "outboard/sim/models/ata_options.hpp"

#include "outboard/sim/models/disk_options.hpp"

#include <algorithm>
#include <filesystem>
#include <string>

namespace outboard::sim {

namespace {

/// Unflushed bytes that a power cut may take.
constexpr std::uint64_t write_cache_bytes = std::uint64_t{16} << 20;

}  // namespace

std::vector<BadSectors> parse_bad(const ModelOptions& values) {
    std::vector<BadSectors> found;
    for (const std::string& part : values.parts("bad")) {
        const std::size_t plus = std::min(part.find('+'), part.size());
        ModelOptions one = values;
        one.set("bad", part.substr(0, plus));
        BadSectors bad{.first = one.number("bad"), .count = 1};
        if (plus < part.size()) {
            one.set("bad", part.substr(plus + 1));
            bad.count = one.number("bad");
        }
        found.push_back(bad);
    }
    return found;
}

StorageOptions parse_storage(const ModelOptions& values, std::size_t place, std::size_t disks) {
    const std::vector<std::string> files = values.parts("file");
    if (files.size() > disks)
        values.refuse("file", "there are fewer disks");
    StorageOptions storage = choose_medium(values, place < files.size() ? files[place] : std::string());
    // An image that is there says itself how large it is.
    if (storage.file.empty() || !std::filesystem::exists(storage.file))
        storage.size = values.with_part("size", place, disks).bytes("size");
    const std::uint64_t sector = values.number("sector");
    if (sector != 512 && sector != 4096)
        values.refuse("sector", "it is not 512 or 4096");
    storage.block_size = static_cast<std::uint32_t>(sector);
    storage.write_cache = values.flag("write-cache") ? write_cache_bytes : 0;
    return storage;
}

}  // namespace outboard::sim
