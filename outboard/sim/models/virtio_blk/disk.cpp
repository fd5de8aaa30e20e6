#include "outboard/sim/models/virtio_blk/disk.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <ranges>
#include <string_view>

namespace outboard::sim::virtio_blk {

namespace {

using virtio::bit;
using virtio::Chain;
using virtio::length_of;
using virtio::Part;

constexpr std::uint16_t block_device = 2;
constexpr std::uint64_t sector_bytes = 512;
constexpr std::uint64_t largest_request = std::uint64_t{64} << 20;
constexpr std::size_t serial_bytes = 20;

// Feature bits (5.2.3).
constexpr unsigned size_max_bit = 1;
constexpr unsigned seg_max_bit = 2;
constexpr unsigned read_only_bit = 5;
constexpr unsigned block_size_bit = 6;
constexpr unsigned flush_bit = 9;
constexpr unsigned topology_bit = 10;
constexpr unsigned cache_switch_bit = 11;
constexpr unsigned queues_bit = 12;
constexpr unsigned discard_bit = 13;
constexpr unsigned write_zeroes_bit = 14;

// Types of requests (5.2.6).
constexpr std::uint32_t type_in = 0;
constexpr std::uint32_t type_out = 1;
constexpr std::uint32_t type_flush = 4;
constexpr std::uint32_t type_get_id = 8;
constexpr std::uint32_t type_discard = 11;
constexpr std::uint32_t type_write_zeroes = 13;

struct Header {
    Le32 type;
    Le32 reserved;
    Le64 sector;
};
static_assert(sizeof(Header) == 16);

struct Range {
    Le64 sector;
    Le32 sectors;
    Le32 flags;
};
static_assert(sizeof(Range) == 16);
constexpr std::uint32_t unmap_flag = 1;

constexpr DmaRights to_read{.readable = true, .writable = false};
constexpr DmaRights to_write{.readable = false, .writable = true};

std::uint32_t segments(const Options& options) {
    return options.seg_max != 0 ? options.seg_max : std::max(options.queue_size - 2U, 1U);
}

virtio::DeviceOptions device_options(const Options& options) {
    check(options);
    std::uint64_t features = bit(seg_max_bit) | bit(block_size_bit) | bit(flush_bit) | bit(topology_bit);
    features |= options.size_max != 0 ? bit(size_max_bit) : 0;
    features |= options.read_only ? bit(read_only_bit) : 0;
    features |= options.cache_switch ? bit(cache_switch_bit) : 0;
    features |= options.queues > 1 ? bit(queues_bit) : 0;
    features |= options.discard ? bit(discard_bit) : 0;
    features |= options.write_zeroes ? bit(write_zeroes_bit) : 0;
    return {.name = "virtio-blk",
            .type = block_device,
            .class_code = 0x010000,
            .queues = options.queues,
            .queue_size = options.queue_size,
            .type_features = features,
            .packed = options.packed,
            .indirect = options.indirect,
            .event_index = options.event_index,
            .iommu_platform = options.iommu_platform,
            .msix = options.msix,
            .latency = options.latency};
}

void require(bool holds, std::string_view cause) {
    if (!holds)
        throw Error({.kind = ErrorKind::usage,
                     .action = "simulate",
                     .subject = "a virtio block device",
                     .cause = std::string(cause),
                     .remedy = "choose another value"});
}

/// The parts from `skip` on, without the last `cut` bytes. False when there are not so many.
bool slice(std::span<const Part> parts, std::uint64_t skip, std::uint64_t cut, std::vector<Part>& result) {
    result.clear();
    const std::uint64_t length = length_of(parts);
    if (skip + cut > length)
        return false;
    std::uint64_t left = length - skip - cut;
    for (const Part& part : parts) {
        const std::uint64_t skipped = std::min<std::uint64_t>(skip, part.length);
        skip -= skipped;
        const std::uint64_t taken = std::min(left, part.length - skipped);
        left -= taken;
        if (taken != 0)
            result.push_back({.iova = part.iova + skipped, .length = static_cast<std::uint32_t>(taken)});
    }
    return true;
}

}  // namespace

void check(const Options& options) {
    require(options.serial.size() <= serial_bytes &&
                std::ranges::all_of(options.serial, [](char c) { return c >= ' ' && c <= '~'; }),
            "a serial number is at most 20 printable ASCII characters");
    require(options.size_max == 0 || options.size_max >= sector_bytes, "a segment has at least 512 bytes");
    require(options.seg_max <= virtio::longest_chain - 2, "a request has at most 1022 segments");
}

Disk::Disk(const Options& options)
    : VirtioDevice(device_options(options)), options_(options), storage_(options.storage) {
    configuration_.capacity = storage_.size() / sector_bytes;
    configuration_.size_max = options.size_max;
    configuration_.seg_max = segments(options);
    configuration_.block_size = storage_.block_size();
    configuration_.num_queues = options.queues;
    constexpr std::uint32_t most_sectors = std::uint32_t{1} << 22;
    configuration_.max_discard_sectors = most_sectors;
    configuration_.max_discard_segments = 1U;
    configuration_.discard_sector_alignment =
        static_cast<std::uint32_t>(storage_.block_size() / sector_bytes);
    configuration_.max_write_zeroes_sectors = most_sectors;
    configuration_.max_write_zeroes_segments = 1U;
    configuration_.write_zeroes_may_unmap = 1;
    type_reset();
}

void Disk::cut_power(std::uint64_t seed) {
    storage_.cut_power(seed);
    reset_device();
}

// ---- configuration ----

std::span<const std::byte> Disk::configuration() {
    return bytes_of(configuration_);
}

void Disk::write_configuration(std::uint64_t offset, unsigned width, std::uint64_t value) {
    if (offset == offsetof(Configuration, write_back) && width == 1 && has(cache_switch_bit)) {
        // What was cached until now is not covered by the other mode.
        if (value == 0 && configuration_.write_back != 0)
            static_cast<void>(storage_.flush());
        configuration_.write_back = value != 0 ? 1 : 0;
    }
}

void Disk::negotiated() {
    // Nobody can flush: write through (5.2.5.2).
    if (!has(flush_bit))
        configuration_.write_back = 0;
}

void Disk::type_reset() {
    configuration_.write_back = options_.storage.write_cache != 0 ? 1 : 0;
}

void Disk::look_around() {
    if (asking_.load(std::memory_order_relaxed)) [[unlikely]] {
        asking_ = false;
        break_down();
        return;
    }
    if (announced_.load(std::memory_order_relaxed) == 0) [[likely]]
        return;
    configuration_.capacity = announced_.exchange(0) / sector_bytes;
    configuration_changed();
}

Durability Disk::durability() const noexcept {
    return configuration_.write_back != 0 ? Durability::cached : Durability::stable;
}

// ---- requests ----

std::optional<std::uint32_t> Disk::execute(unsigned queue, const Chain& chain) {
    static_cast<void>(queue);
    if (!slice(chain.readable, sizeof(Header), 0, readable_) || !slice(chain.writable, 0, 1, writable_))
        return std::nullopt;
    Header header{};
    std::span<std::byte> bytes = std::as_writable_bytes(std::span(&header, 1));
    for (const Part& part : chain.readable) {
        const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), part.length));
        dma().read(part.iova, piece);
        bytes = bytes.subspan(piece.size());
    }
    // The errors that a disk can have.
    Status status{};
    if (const auto strike = faults().strike(FaultKind::status_error)) {
        constexpr std::array errors{Status::error, Status::unsupported, static_cast<Status>(7)};
        status = errors[strike->random % errors.size()];
    } else {
        status = carry_out(header.type, header.sector);
    }
    // Empty parts behind it change nothing.
    const Part& last = *std::ranges::find_if(std::views::reverse(chain.writable),
                                             [](const Part& part) { return part.length != 0; });
    dma().write(last.iova + last.length - 1, std::as_bytes(std::span(&status, 1)));
    const std::uint64_t written = status == Status::ok ? length_of(chain.writable) : 1;
    return static_cast<std::uint32_t>(written);
}

Disk::Status Disk::carry_out(std::uint32_t type, std::uint64_t sector) {
    switch (type) {
        case type_in:
            return read_data(sector);
        case type_out:
            return write_data(sector);
        case type_flush:
            return storage_.flush() == 0 ? Status::ok : Status::error;
        case type_get_id:
            return tell_serial();
        case type_discard:
            return has(discard_bit) ? erase(true) : Status::unsupported;
        case type_write_zeroes:
            return has(write_zeroes_bit) ? erase(false) : Status::unsupported;
        default:
            return Status::unsupported;
    }
}

/// As many segments and bytes as the configuration allows.
bool Disk::is_sensible(std::span<const Part> data) const noexcept {
    return !data.empty() && data.size() <= configuration_.seg_max && length_of(data) <= largest_request &&
           length_of(data) % sector_bytes == 0 &&
           (options_.size_max == 0 ||
            std::ranges::all_of(data, [this](const Part& part) { return part.length <= options_.size_max; }));
}

/// Finds the memory of all parts. False when it has to be copied.
bool Disk::window_all(std::span<const Part> data, DmaRights rights) {
    windows_.clear();
    for (const Part& part : data) {
        const std::span<std::byte> window = dma().data_window(part.iova, part.length, rights);
        if (window.empty())
            return false;
        windows_.push_back(window);
    }
    return true;
}

Disk::Status Disk::read_data(std::uint64_t sector) {
    if (!is_sensible(writable_) || sector > storage_.size() / sector_bytes)
        return Status::error;
    std::uint64_t offset = sector * sector_bytes;
    if (window_all(writable_, to_write)) {
        // Nothing is kept, so there is nothing to hand over: the memory was checked all the same.
        if (storage_.null())
            return Status::ok;
        for (const std::span<std::byte> window : windows_) {
            if (storage_.read(offset, window) != 0)
                return Status::error;
            offset += window.size();
        }
        return Status::ok;
    }
    buffer_.resize(length_of(writable_));
    if (storage_.read(offset, buffer_) != 0)
        return Status::error;
    bool complete = true;
    auto rest = std::span<const std::byte>(buffer_);
    for (const Part& part : writable_) {
        complete &= dma().write_data(part.iova, rest.first(part.length));
        rest = rest.subspan(part.length);
    }
    return complete ? Status::ok : Status::error;
}

Disk::Status Disk::write_data(std::uint64_t sector) {
    if (options_.read_only || !is_sensible(readable_) || sector > storage_.size() / sector_bytes)
        return Status::error;
    std::uint64_t offset = sector * sector_bytes;
    const std::uint32_t block = storage_.block_size();
    const bool whole =
        std::ranges::all_of(readable_, [block](const Part& part) { return part.length % block == 0; });
    if (whole && window_all(readable_, to_read)) {
        if (storage_.null())
            return Status::ok;
        for (const std::span<std::byte> window : windows_) {
            if (storage_.write(offset, window, durability()) != 0)
                return Status::error;
            offset += window.size();
        }
        return Status::ok;
    }
    // Blocks that lie in two pieces have to be put together.
    buffer_.resize(length_of(readable_));
    bool complete = true;
    auto rest = std::span(buffer_);
    for (const Part& part : readable_) {
        complete &= dma().read_data(part.iova, rest.first(part.length));
        rest = rest.subspan(part.length);
    }
    return complete && storage_.write(offset, buffer_, durability()) == 0 ? Status::ok : Status::error;
}

Disk::Status Disk::tell_serial() {
    std::array<char, serial_bytes> serial{};
    std::ranges::copy(options_.serial, serial.begin());
    std::span<const std::byte> rest = std::as_bytes(std::span(serial));
    if (length_of(writable_) != rest.size())
        return Status::error;
    for (const Part& part : writable_) {
        dma().write(part.iova, rest.first(part.length));
        rest = rest.subspan(part.length);
    }
    return Status::ok;
}

Disk::Status Disk::erase(bool discard) {
    Range range{};
    std::span<std::byte> bytes = std::as_writable_bytes(std::span(&range, 1));
    if (options_.read_only || length_of(readable_) != bytes.size())
        return Status::error;
    for (const Part& part : readable_) {
        dma().read(part.iova, bytes.first(part.length));
        bytes = bytes.subspan(part.length);
    }
    const std::uint32_t most =
        discard ? configuration_.max_discard_sectors : configuration_.max_write_zeroes_sectors;
    // Flags that the request does not know are refused (5.2.6.2).
    if ((range.flags & ~(discard ? 0U : unmap_flag)) != 0)
        return Status::unsupported;
    if (range.sectors > most || range.sector > storage_.size() / sector_bytes)
        return Status::error;
    const int error =
        storage_.discard(range.sector * sector_bytes, std::uint64_t{range.sectors} * sector_bytes);
    return error == 0 ? Status::ok : Status::error;
}

}  // namespace outboard::sim::virtio_blk
