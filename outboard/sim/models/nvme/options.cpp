#include "outboard/sim/models/nvme/options.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <bit>
#include <string_view>

namespace outboard::sim::nvme {

namespace {

constexpr std::size_t max_namespaces = 256;
/// One page cannot be said: an MDTS of 0 means that there is no limit.
constexpr std::uint64_t smallest_transfer = 8192;
constexpr std::uint64_t largest_transfer = 16 << 20;

void require(bool holds, std::string_view cause) {
    if (!holds)
        throw Error({.kind = ErrorKind::usage,
                     .action = "simulate",
                     .subject = "an NVMe controller",
                     .cause = std::string(cause),
                     .remedy = "choose another value"});
}

}  // namespace

void check(const Options& options) {
    require(options.namespaces.size() <= max_namespaces, "it has at most 256 namespaces");
    require(!options.serial.empty() && options.serial.size() <= 20 &&
                std::ranges::all_of(options.serial, [](char c) { return c >= ' ' && c <= '~'; }),
            "a serial number is 1 to 20 printable ASCII characters");
    require(options.queue_pairs >= 1 && options.queue_pairs <= 255, "it has 1 to 255 I/O queue pairs");
    require(options.queue_entries >= 2 && options.queue_entries <= 65536, "a queue has 2 to 65536 entries");
    require(std::has_single_bit(options.max_transfer) && options.max_transfer >= smallest_transfer &&
                options.max_transfer <= largest_transfer,
            "the largest transfer is a power of two from 8 KiB to 16 MiB");
    require(options.doorbell_stride <= 10, "the doorbell stride is 0 to 10");
    require(std::ranges::all_of(options.namespaces,
                                [](const StorageOptions& storage) { return storage.block_size <= 4096; }),
            "blocks have 512 to 4096 bytes");
}

bool offers_shadow_doorbells(const Options& options) noexcept {
    return options.shadow_doorbells && doorbell_bytes(options) <= 4096;
}

}  // namespace outboard::sim::nvme
