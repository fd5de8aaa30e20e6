#include "fuzz/lying_device.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fuzz/require.hpp"
#include <sys/eventfd.h>

namespace outboard::fuzz {

LyingDevice::LyingDevice(std::unique_ptr<Backend> honest, Input& input)
    : honest_(std::move(honest)), input_(input) {}

LyingDevice::~LyingDevice() {
    require(mappings_.empty(), "all memory is unmapped before the device goes");
}

/// Counts an access; the lie that is due now, if one is.
std::optional<LyingDevice::Kind> LyingDevice::next_lie() noexcept {
    if (until_next_ > 0) {
        --until_next_;
        return std::nullopt;
    }
    if (input_.empty())
        return std::nullopt;
    const auto head = input_.take<std::uint8_t>();
    // Up to 7 accesses one by one, up to 252 in steps of 36, up to 1792 in steps of 256.
    const auto pace = input_.take<std::uint8_t>();
    constexpr std::array<unsigned, 4> steps{0, 1, 36, 256};
    until_next_ = (pace & 7U) * steps[pace >> 3 & 3U];
    return static_cast<Kind>(head % kinds);
}

void LyingDevice::check_access(RegionIndex region, std::uint64_t offset, std::size_t size) const noexcept {
    const std::uint64_t whole = honest_->region_info(region).size;
    require(offset <= whole && size <= whole - offset, "an access lies inside its region");
}

int LyingDevice::read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept {
    check_access(region, offset, data.size());
    const int error = honest_->read_region(region, offset, data);
    if (error != 0)
        return error;
    const auto replace = [&](std::uint64_t value) {
        std::memcpy(data.data(), &value, std::min(data.size(), sizeof value));
    };
    const auto lie = next_lie();
    if (lie) {
        switch (*lie) {
            case Kind::replace:
                replace(input_.take<std::uint32_t>());
                break;
            case Kind::flip:
                data[0] ^= static_cast<std::byte>(input_.take<std::uint8_t>());
                break;
            case Kind::stick:
                stuck_ = {
                    .region = region, .offset = offset, .value = input_.take<std::uint32_t>(), .left = 0};
                stuck_.left = 1U << (input_.take<std::uint8_t>() & 15U);
                break;
            case Kind::stick_all_ones:
                stuck_ = {.region = region, .offset = offset, .value = ~std::uint64_t{0}, .left = 0};
                stuck_.left = 1U << (input_.take<std::uint8_t>() & 15U);
                break;
            case Kind::fail:
                broken_ = true;
                return EIO;
            case Kind::vanish:
                // Most lives of a device are longer than this: it takes a second look of the fuzzer's.
                vanished_ = vanished_ || input_.take<std::uint8_t>() == 0xff;
                broken_ = broken_ || vanished_;
                break;
            case Kind::interrupt:
                interrupt();
                break;
            case Kind::scribble:
                scribble();
                break;
        }
    }
    if (stuck_.left > 0 && stuck_.region == region && stuck_.offset == offset) {
        --stuck_.left;
        replace(stuck_.value);
    }
    if (vanished_)
        std::ranges::fill(data, std::byte{0xff});
    if (watched_ == std::pair(region, offset)) {
        last_read_ = 0;
        std::memcpy(&last_read_, data.data(), std::min(data.size(), sizeof last_read_));
    }
    return 0;
}

int LyingDevice::write_region(RegionIndex region, std::uint64_t offset,
                              std::span<const std::byte> data) noexcept {
    check_access(region, offset, data.size());
    const auto lie = next_lie();
    if (lie == Kind::interrupt)
        interrupt();
    if (lie == Kind::scribble)
        scribble();
    if (lie == Kind::fail) {
        broken_ = true;
        return EIO;
    }
    // Configuration space is the machine's as much as the device's: its writes arrive.
    const bool lost = vanished_ || lie == Kind::replace || lie == Kind::flip;
    if (lost && region != RegionIndex::config)
        return 0;
    return honest_->write_region(region, offset, data);
}

std::span<std::byte> LyingDevice::map_region(RegionIndex /*region*/, const MappableArea& /*area*/) {
    require(false, "nothing is mapped that cannot be");
    return {};
}

void LyingDevice::set_interrupts(InterruptKind kind, std::span<const int> eventfds) {
    eventfds_.assign(eventfds.begin(), eventfds.end());
    honest_->set_interrupts(kind, eventfds);
}

int LyingDevice::unmask_intx() noexcept {
    if (next_lie() == Kind::fail) {
        broken_ = true;
        return EIO;
    }
    return honest_->unmask_intx();
}

bool LyingDevice::asleep() {
    const auto lie = next_lie();
    if (lie == Kind::scribble)
        scribble();
    if (lie != Kind::interrupt || eventfds_.empty())
        return false;
    interrupt();
    return true;
}

void LyingDevice::interrupt() noexcept {
    if (!eventfds_.empty())
        ::eventfd_write(eventfds_[input_.take<std::uint8_t>() % eventfds_.size()], 1);
}

void LyingDevice::scribble() noexcept {
    const auto mapping = input_.take<std::uint8_t>();
    const std::size_t place = input_.take<std::uint16_t>() * std::size_t{8};
    const auto bytes = input_.take_bytes(input_.below(64));
    if (mappings_.empty())
        return;
    const std::span<std::byte> memory =
        std::next(mappings_.begin(), mapping % static_cast<std::ptrdiff_t>(mappings_.size()))->second;
    const std::span<std::byte> room = memory.subspan(std::min(place, memory.size()));
    std::ranges::copy(bytes.first(std::min(bytes.size(), room.size())), room.begin());
    scribbled_ = true;
}

void LyingDevice::map_dma(const DmaMapping& mapping) {
    const std::uint64_t size = mapping.memory.size();
    require(size > 0 && mapping.iova % 4096 == 0 && size % 4096 == 0, "a mapping is made of whole pages");
    const auto windows = iova_ranges();
    require(std::ranges::any_of(windows,
                                [&](const IovaRange& window) {
                                    return window.first <= mapping.iova &&
                                           mapping.iova + (size - 1) <= window.last;
                                }),
            "a mapping lies inside the IOMMU's windows");
    for (const auto& [iova, memory] : mappings_)
        require(mapping.iova + size <= iova || iova + memory.size() <= mapping.iova,
                "mappings do not overlap");
    honest_->map_dma(mapping);
    mappings_.emplace(mapping.iova, mapping.memory);
}

void LyingDevice::unmap_dma(std::uint64_t iova, std::uint64_t size) {
    const auto found = mappings_.find(iova);
    require(found != mappings_.end() && found->second.size() == size, "what is unmapped was mapped");
    mappings_.erase(found);
    honest_->unmap_dma(iova, size);
}

}  // namespace outboard::fuzz
