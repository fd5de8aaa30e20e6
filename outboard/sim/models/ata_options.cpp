#include "outboard/sim/models/ata_options.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace outboard::sim {

namespace {

/// Unflushed bytes that a power cut may take.
constexpr std::uint64_t write_cache_bytes = std::uint64_t{16} << 20;

std::vector<std::string> parts(const std::string& text) {
    std::vector<std::string> found;
    for (std::size_t at = 0; !text.empty() && at <= text.size();) {
        const std::size_t comma = std::min(text.find(',', at), text.size());
        found.push_back(text.substr(at, comma - at));
        at = comma + 1;
    }
    return found;
}

}  // namespace

void refuse_option(std::string_view option, const std::string& value, std::string_view cause) {
    throw Error({.kind = ErrorKind::usage,
                 .action = "use",
                 .subject = fmt::format("--{} {}", option, value),
                 .cause = std::string(cause),
                 .remedy = {}});
}

ModelOptions with_part(const ModelOptions& values, std::string_view name, std::size_t index) {
    ModelOptions one = values;
    const std::vector<std::string> list = parts(values.text(name));
    if (!list.empty())
        one.set(name, list[std::min(index, list.size() - 1)]);
    return one;
}

std::vector<BadSectors> parse_bad(const ModelOptions& values) {
    std::vector<BadSectors> found;
    for (const std::string& part : parts(values.text("bad"))) {
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

StorageOptions parse_storage(const ModelOptions& values, std::size_t place) {
    StorageOptions storage;
    storage.size = with_part(values, "size", place).bytes("size");
    const std::uint64_t sector = values.number("sector");
    if (sector != 512 && sector != 4096)
        refuse_option("sector", values.text("sector"), "it is not 512 or 4096");
    storage.block_size = static_cast<std::uint32_t>(sector);
    const std::vector<std::string> files = parts(values.text("file"));
    if (values.flag("null")) {
        storage.kind = StorageOptions::Kind::null;
    } else if (place < files.size()) {
        storage.kind = StorageOptions::Kind::file;
        storage.file = files[place];
        // An image that is there says itself how large it is.
        if (std::filesystem::exists(storage.file))
            storage.size = 0;
    }
    storage.write_cache = values.flag("write-cache") ? write_cache_bytes : 0;
    return storage;
}

}  // namespace outboard::sim
