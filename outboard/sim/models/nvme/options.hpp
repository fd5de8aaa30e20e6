// What a simulated NVMe controller is made of.
#pragma once

#include "outboard/runtime/clock.hpp"
#include "outboard/sim/storage.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace outboard::sim::nvme {

struct Options {
    /// One namespace each, numbered from 1; block_size (512 or 4096 in practice) is that of its LBA format. A
    /// controller has a volatile write cache when any of them has.
    std::vector<StorageOptions> namespaces{};
    std::string serial = "OUTBOARD0001";  ///< at most 20 printable characters, all namespaces' names follow
    unsigned queue_pairs = 64;            ///< for I/O, 1 … 255; MSI-X has a vector for each queue pair
    unsigned queue_entries = 1024;        ///< the longest queue, 2 … 65536
    std::uint64_t max_transfer = 512 * 1024;  ///< MDTS: bytes, a power of two from 8 KiB to 16 MiB
    unsigned doorbell_stride = 0;             ///< a doorbell comes every 4 << it bytes; at most 10
    bool shadow_doorbells = true;             ///< offers Doorbell Buffer Config
    Duration ready_time{};                    ///< from CC.EN to CSTS.RDY, both ways
    Duration shutdown_time{};                 ///< from CC.SHN to CSTS.SHST
    Duration latency{};                       ///< of I/O commands, from when they are fetched
};

/// Throws Error (kind usage) that says what is wrong, if anything is.
void check(const Options& options);

/// Doorbell Buffer Config is offered: it is wanted, and a page of 4096 bytes has room for all doorbells.
bool offers_shadow_doorbells(const Options& options) noexcept;

/// A doorbell of each kind for the admin queue and each queue pair.
constexpr std::uint64_t doorbell_bytes(const Options& options) noexcept {
    return std::uint64_t{options.queue_pairs + 1} * 2 * (std::uint64_t{4} << options.doorbell_stride);
}

}  // namespace outboard::sim::nvme
