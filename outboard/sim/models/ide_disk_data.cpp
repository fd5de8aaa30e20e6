// Data between the disk's medium and the channel: by PIO in blocks (ATA/ATAPI-6, 9.4 and 9.5), by DMA (9.6).
#include "outboard/sim/models/ide_disk.hpp"

#include <algorithm>
#include <utility>

namespace outboard::sim {

namespace {

/// What is collected of a DMA write before it goes to the medium: whole sectors of either size.
constexpr std::size_t collected = std::size_t{64} * 1024;

}  // namespace

// ---- the medium ----

std::optional<IdeDisk::Failure> IdeDisk::check_readable(std::uint64_t offset,
                                                        std::size_t size) const noexcept {
    const std::uint64_t first = offset / identity_.sector_size;
    const std::uint64_t end = (offset + size + identity_.sector_size - 1) / identity_.sector_size;
    std::optional<Failure> failure;
    for (const BadSectors& bad : options_.bad) {
        const std::uint64_t place = std::max(first, bad.first);
        if (place < end && place - bad.first < bad.count && (!failure || place < failure->lba))
            failure = Failure{.error = ata::error_uncorrectable, .lba = place};
    }
    return failure;
}

Durability IdeDisk::durability() const noexcept {
    return settings_.write_cache && !command_.stable ? Durability::cached : Durability::stable;
}

/// The next bytes of the command's data. False when there are none: failure_ says why.
bool IdeDisk::fill(std::span<std::byte> data) {
    if (command_.action == IdeAction::identify) {
        std::ranges::copy(identify_data(identity_, settings_), data.begin());
    } else {
        failure_ = check_readable(offset_, data.size());
        if (!failure_ && storage_.read(offset_, data) != 0)
            failure_ = Failure{.error = ata::error_uncorrectable, .lba = offset_ / identity_.sector_size};
    }
    offset_ += data.size();
    left_ -= data.size();
    return !failure_;
}

/// Likewise the other way.
bool IdeDisk::store(std::span<const std::byte> data) {
    if (command_.action == IdeAction::trim)
        return trim_ranges();
    if (storage_.write(offset_, data, durability()) != 0)
        failure_ = Failure{};
    offset_ += data.size();
    left_ -= data.size();
    return !failure_;
}

// ---- PIO ----

/// The next block for the host to read. Its interrupt says that it may.
void IdeDisk::offer_block() {
    const std::uint64_t sectors = command_.multiple ? settings_.multiple : 1;
    const std::uint64_t block =
        command_.action == IdeAction::identify ? ata::information_block : sectors * identity_.sector_size;
    buffer_.resize(std::min(block, left_));
    moved_ = 0;
    if (!fill(buffer_)) {
        fail(*failure_);
        return;
    }
    busy_ = false;
    data_request_ = true;
    raise_interrupt();
}

std::uint16_t IdeDisk::read_data() {
    if (!data_request_ || command_.protocol != IdeProtocol::pio_in) {
        breaches_.add("the data register is read while the disk offers none");
        return 0xffff;
    }
    const auto low = std::to_integer<unsigned>(buffer_[moved_]);
    const auto high = std::to_integer<unsigned>(buffer_[moved_ + 1]);
    moved_ += 2;
    if (moved_ == buffer_.size()) {
        data_request_ = false;
        if (left_ > 0) {
            busy_ = true;
            offer_block();
        } else {
            drop_command();
        }
    }
    return static_cast<std::uint16_t>(low | high << 8);
}

/// Asks for the next block of the host. The first one comes without an interrupt.
void IdeDisk::take_block() {
    const std::uint64_t sectors = command_.multiple ? settings_.multiple : 1;
    buffer_.resize(std::min(sectors * identity_.sector_size, left_));
    moved_ = 0;
    busy_ = false;
    data_request_ = true;
}

void IdeDisk::write_data(std::uint16_t word) {
    if (!data_request_ || command_.protocol != IdeProtocol::pio_out) {
        breaches_.add("the data register is written while the disk wants none");
        return;
    }
    buffer_[moved_++] = static_cast<std::byte>(word);
    buffer_[moved_++] = static_cast<std::byte>(word >> 8);
    if (moved_ < buffer_.size())
        return;
    data_request_ = false;
    busy_ = true;
    if (buffer_.size() == left_) {
        after_latency(&IdeDisk::end_pio_out);
    } else if (!store(buffer_)) {
        fail(*failure_);
    } else {
        take_block();
        raise_interrupt();
    }
}

void IdeDisk::end_pio_out() {
    if (store(buffer_))
        complete();
    else
        fail(*failure_);
}

// ---- DMA ----

/// From here on the bus master moves data as it can: DMARQ.
void IdeDisk::offer_dma() {
    dma_ = command_.protocol == IdeProtocol::dma_in ? Dma::to_memory : Dma::from_memory;
    dma_left_ = left_;
    busy_ = false;
    data_request_ = true;
    host_.dma_ready();
}

std::size_t IdeDisk::dma_give(std::span<std::byte> data) {
    // All up to the sector that cannot be read is given.
    const auto failure = check_readable(offset_, data.size());
    std::size_t size = data.size();
    if (failure) {
        const std::uint64_t place = failure->lba * identity_.sector_size;
        size = place > offset_ ? place - offset_ : 0;
    }
    if (!fill(data.first(size)))
        return 0;
    dma_left_ -= size;
    failure_ = failure;
    return size;
}

std::size_t IdeDisk::dma_take(std::span<const std::byte> data) {
    for (std::span<const std::byte> rest = data; !rest.empty();) {
        const std::size_t size = std::min(rest.size(), collected - buffer_.size());
        buffer_.insert(buffer_.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(size));
        rest = rest.subspan(size);
        dma_left_ -= size;
        if (buffer_.size() < collected && dma_left_ > 0)
            continue;
        if (!store(buffer_))
            return data.size() - rest.size() - size;
        buffer_.clear();
    }
    return data.size();
}

void IdeDisk::dma_end() {
    dma_ = Dma::none;
    data_request_ = false;
    if (const auto failure = std::exchange(failure_, std::nullopt))
        fail(*failure);
    else
        complete();
}

}  // namespace outboard::sim
