// What the disk's commands mean (ATA/ATAPI-6, clause 8).
#include "outboard/sim/models/ide_disk.hpp"

#include <algorithm>
#include <bit>

namespace outboard::sim {

namespace {

std::uint64_t little_endian(std::span<const std::byte> bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    return value;
}

}  // namespace

std::uint64_t IdeDisk::lba() const noexcept {
    const auto byte = [this](ata::Register place) { return std::uint64_t{registers_[place].current}; };
    const auto previous = [this](ata::Register place) { return std::uint64_t{registers_[place].previous}; };
    const std::uint64_t low = byte(ata::lba_low) | byte(ata::lba_mid) << 8 | byte(ata::lba_high) << 16;
    if (!command_.extended)
        return low | (byte(ata::device_register) & ata::device_lba_bits) << 24;
    return low | previous(ata::lba_low) << 24 | previous(ata::lba_mid) << 32 | previous(ata::lba_high) << 40;
}

/// 0 means the most that the register can hold, and one more.
std::uint32_t IdeDisk::sectors() const noexcept {
    const Deep& count = registers_[ata::sector_count];
    if (!command_.extended)
        return count.current == 0 ? 256 : count.current;
    const std::uint32_t both = count.current | std::uint32_t{count.previous} << 8;
    return both == 0 ? 65536 : both;
}

void IdeDisk::execute(std::uint8_t opcode) {
    if (faults_.strike(FaultKind::doorbell_ignored))
        return;
    high_order_byte_ = false;
    drop_interrupt();
    error_ = 0;
    failed_ = false;
    fault_ = false;
    busy_ = true;
    if (faults_.strike(FaultKind::never_ready))
        return;
    const IdeCommand* const command = find_command(opcode);
    if (command == nullptr || (command->extended && !identity_.extended)) {
        fail({.error = ata::error_aborted});
        return;
    }
    command_ = *command;
    if (plan(command_))
        start();
}

/// Where the command begins and how much it moves. False when it is refused, and has ended.
bool IdeDisk::plan(const IdeCommand& command) {
    offset_ = 0;
    left_ = 0;
    switch (command.action) {
        case IdeAction::identify:
            left_ = ata::information_block;
            return true;
        case IdeAction::trim: {
            const std::uint32_t blocks = sectors();
            if ((registers_[ata::error_or_features].current & ata::trim) == 0 ||
                blocks > ata::most_trim_blocks) {
                fail({.error = ata::error_aborted});
                return false;
            }
            left_ = blocks * ata::information_block;
            return true;
        }
        case IdeAction::read:
        case IdeAction::write:
        case IdeAction::verify:
            break;
        default:
            return true;
    }
    const bool addressed_by_lba = (registers_[ata::device_register].current & ata::device_lba) != 0;
    if (!addressed_by_lba || (command.multiple && settings_.multiple == 0)) {
        fail({.error = ata::error_aborted});
        return false;
    }
    const std::uint64_t first = lba();
    const std::uint64_t end =
        command.extended ? identity_.sectors : std::min(identity_.sectors, ata::end_of_28);
    if (first >= end || sectors() > end - first) {
        fail({.error = ata::error_id_not_found, .lba = std::max(first, end)});
        return false;
    }
    offset_ = first * identity_.sector_size;
    left_ = std::uint64_t{sectors()} * identity_.sector_size;
    return true;
}

void IdeDisk::start() {
    switch (command_.protocol) {
        case IdeProtocol::non_data:
            after_latency(&IdeDisk::run_non_data);
            break;
        case IdeProtocol::pio_in:
            after_latency(&IdeDisk::offer_block);
            break;
        case IdeProtocol::pio_out:
            take_block();
            break;
        case IdeProtocol::dma_in:
        case IdeProtocol::dma_out:
            after_latency(&IdeDisk::offer_dma);
            break;
    }
}

void IdeDisk::run_non_data() {
    bool done = true;
    switch (command_.action) {
        case IdeAction::verify:
            if (const auto failure = check_readable(offset_, left_)) {
                fail(*failure);
                return;
            }
            break;
        case IdeAction::flush:
            if (storage_.flush() != 0) {
                fail({});
                return;
            }
            break;
        case IdeAction::feature:
            done = change_feature();
            break;
        case IdeAction::multiple:
            done = change_multiple(registers_[ata::sector_count].current);
            break;
        default:
            break;
    }
    if (done)
        complete();
    else
        fail({.error = ata::error_aborted});
}

bool IdeDisk::change_feature() {
    switch (registers_[ata::error_or_features].current) {
        case ata::enable_write_cache:
            settings_.write_cache = options_.write_cache;
            return options_.write_cache;
        case ata::disable_write_cache:
            settings_.write_cache = false;
            return options_.write_cache && storage_.flush() == 0;
        case ata::set_transfer_mode:
            return change_transfer_mode(registers_[ata::sector_count].current);
        case ata::enable_look_ahead:
            settings_.look_ahead = true;
            return true;
        case ata::disable_look_ahead:
            settings_.look_ahead = false;
            return true;
        case ata::keep_settings_on_reset:
            settings_.reverts_on_reset = false;
            return true;
        case ata::revert_settings_on_reset:
            settings_.reverts_on_reset = true;
            return true;
        default:
            return false;
    }
}

bool IdeDisk::change_transfer_mode(std::uint8_t mode) noexcept {
    const unsigned number = mode & ata::mode_number;
    switch (mode & ata::mode_kind) {
        case ata::mode_pio_default:
            return number <= 1;
        case ata::mode_pio:
            return number <= ata::fastest_pio;
        case ata::mode_multiword_dma:
            if (number > ata::fastest_multiword_dma)
                return false;
            break;
        case ata::mode_ultra_dma:
            if (number > ata::fastest_ultra_dma)
                return false;
            break;
        default:
            return false;
    }
    settings_.dma_mode = mode;
    return true;
}

bool IdeDisk::change_multiple(std::uint8_t sectors) noexcept {
    if (sectors != 0 && (!std::has_single_bit(sectors) || sectors > ata::most_multiple))
        return false;
    settings_.multiple = sectors;
    return true;
}

/// buffer_ holds ranges of 8 bytes each: 48 bits address, 16 bits count (ACS-2, 7.10.3). All are looked at
/// before the first is carried out. False when one is not on the disk.
bool IdeDisk::trim_ranges() {
    for (const bool checked : {false, true}) {
        for (std::size_t at = 0; at < buffer_.size(); at += 8) {
            const std::uint64_t range = little_endian(std::span(buffer_).subspan(at, 8));
            const std::uint64_t first = range & 0xffffffffffff;
            const std::uint64_t count = range >> 48;
            if (count == 0)
                continue;
            if (first >= identity_.sectors || count > identity_.sectors - first) {
                failure_ = Failure{.error = ata::error_id_not_found, .lba = first};
                return false;
            }
            const std::uint64_t size = identity_.sector_size;
            if (checked && storage_.discard(first * size, count * size) != 0) {
                failure_ = Failure{};
                return false;
            }
        }
    }
    return true;
}

}  // namespace outboard::sim
