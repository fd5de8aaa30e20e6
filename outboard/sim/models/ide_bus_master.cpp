#include "outboard/sim/models/ide_bus_master.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace outboard::sim {

namespace {

/// The counters of a controller are 16 bits wide: behind the end of 64 KiB comes its beginning.
constexpr std::uint32_t advance(std::uint32_t address, std::uint32_t bytes) {
    constexpr std::uint32_t low = bus_master::boundary - 1;
    return (address & ~low) | ((address + bytes) & low);
}

}  // namespace

// ---- registers ----

std::uint8_t IdeBusMaster::read(unsigned place) const noexcept {
    switch (place) {
        case bus_master::command_register:
            return command_;
        case bus_master::status_register:
            return static_cast<std::uint8_t>(status_ | (active_ ? bus_master::status_active : 0));
        case bus_master::table_pointer:
        case bus_master::table_pointer + 1:
        case bus_master::table_pointer + 2:
        case bus_master::table_pointer + 3:
            return static_cast<std::uint8_t>(table_ >> (8 * (place - bus_master::table_pointer)));
        default:
            return 0;
    }
}

void IdeBusMaster::write(unsigned place, std::uint8_t value) {
    switch (place) {
        case bus_master::command_register: {
            const bool started = (value & ~command_ & bus_master::command_start) != 0;
            if (active_ && ((value ^ command_) & bus_master::command_to_memory) != 0)
                breaches_.add("the bus master's direction is changed while it is active");
            command_ = value & (bus_master::command_start | bus_master::command_to_memory);
            if ((value & bus_master::command_start) == 0)
                active_ = false;
            if (!started)
                return;
            active_ = true;
            entry_ = table_;
            left_ = 0;
            last_ = false;
            return;
        }
        case bus_master::status_register: {
            const unsigned cleared = value & (bus_master::status_interrupt | bus_master::status_error);
            const unsigned events = status_ & (bus_master::status_interrupt | bus_master::status_error);
            status_ = static_cast<std::uint8_t>((events & ~cleared) | (value & bus_master::status_capable));
            return;
        }
        case bus_master::table_pointer:
        case bus_master::table_pointer + 1:
        case bus_master::table_pointer + 2:
        case bus_master::table_pointer + 3: {
            if (active_)
                breaches_.add("the PRD table is changed while the bus master is active");
            const unsigned shift = 8 * (place - bus_master::table_pointer);
            const unsigned byte = place == bus_master::table_pointer ? value & 0xfcU : value;
            if (byte != value)
                breaches_.add("the PRD table does not lie at a multiple of four");
            table_ = (table_ & ~(0xffU << shift)) | byte << shift;
            return;
        }
        default:
            return;
    }
}

void IdeBusMaster::reset() noexcept {
    command_ = 0;
    status_ = 0;
    table_ = 0;
    active_ = false;
}

// ---- the walk ----

void IdeBusMaster::run(IdeDisk& disk) {
    if (!active_ || !disk.dma_wanted())
        return;
    const bool to_memory = (command_ & bus_master::command_to_memory) != 0;
    if (to_memory != disk.dma_to_memory()) {
        // Both wait for the other to move: as on the cable.
        breaches_.add("the bus master was started in the other direction than the command's");
        return;
    }
    Moved moved = Moved::all;
    while (disk.dma_left() > 0 && moved == Moved::all) {
        if (left_ == 0 && !next_entry())
            return;
        const std::uint32_t room = bus_master::boundary - address_ % bus_master::boundary;
        if (left_ > room)
            breaches_.add("a PRD entry crosses a multiple of 64 KiB");
        const auto size = static_cast<std::uint32_t>(std::min<std::uint64_t>({left_, room, disk.dma_left()}));
        moved = to_memory ? move_in(disk, size) : move_out(disk, size);
        address_ = advance(address_, size);
        left_ -= size;
    }
    if (moved == Moved::bus_failed) {
        stop_after_bus_error();
        return;
    }
    if (moved == Moved::all && left_ == 0 && last_)
        stop_after_transfer();
    disk.dma_end();
}

/// False when there is none, or it cannot be fetched: the walk has ended, and the disk goes on waiting.
bool IdeBusMaster::next_entry() {
    if (last_) {
        stop_after_transfer();
        return false;
    }
    std::array<std::byte, bus_master::entry_size> entry{};
    if (const auto strike = faults_.strike(FaultKind::queue_overwrite)) {
        std::memcpy(entry.data(), &strike->random, entry.size());
        memory_.write(entry_, entry);
    }
    if (!memory_.read(entry_, entry)) {
        stop_after_bus_error();
        return false;
    }
    const auto word = [&](std::size_t at) {
        return std::to_integer<std::uint32_t>(entry[at]) | std::to_integer<std::uint32_t>(entry[at + 1]) << 8;
    };
    const std::uint32_t address = word(0) | word(2) << 16;
    const std::uint32_t count = word(4);
    if (((address | count) & 1) != 0)
        breaches_.add("a PRD entry has an odd address or length");
    address_ = address & ~1U;
    left_ = (count & ~1U) == 0 ? bus_master::boundary : count & ~1U;
    last_ = (word(6) & bus_master::end_of_table) != 0;
    const std::uint32_t next = advance(entry_, bus_master::entry_size);
    if (next < entry_ && !last_)
        breaches_.add("the PRD table crosses a multiple of 64 KiB");
    entry_ = next;
    return true;
}

IdeBusMaster::Moved IdeBusMaster::move_in(IdeDisk& disk, std::uint32_t size) {
    if (const auto memory = memory_.data_window(address_, size, {.writable = true}); !memory.empty())
        return disk.dma_give(memory) == size ? Moved::all : Moved::disk_failed;
    std::array<std::byte, 4096> piece;
    for (std::uint32_t at = 0; at < size;) {
        const auto part = std::span(piece).first(std::min<std::size_t>(piece.size(), size - at));
        const std::size_t given = disk.dma_give(part);
        if (!memory_.write_data(address_ + at, part.first(given)))
            return Moved::bus_failed;
        if (given < part.size())
            return Moved::disk_failed;
        at += static_cast<std::uint32_t>(given);
    }
    return Moved::all;
}

IdeBusMaster::Moved IdeBusMaster::move_out(IdeDisk& disk, std::uint32_t size) {
    if (const auto memory = memory_.data_window(address_, size, {.readable = true}); !memory.empty())
        return disk.dma_take(memory) == size ? Moved::all : Moved::disk_failed;
    std::array<std::byte, 4096> piece;
    for (std::uint32_t at = 0; at < size;) {
        const auto part = std::span(piece).first(std::min<std::size_t>(piece.size(), size - at));
        if (!memory_.read_data(address_ + at, part))
            return Moved::bus_failed;
        if (disk.dma_take(part) < part.size())
            return Moved::disk_failed;
        at += static_cast<std::uint32_t>(part.size());
    }
    return Moved::all;
}

void IdeBusMaster::stop_after_transfer() noexcept {
    active_ = false;
}

void IdeBusMaster::stop_after_bus_error() noexcept {
    active_ = false;
    status_ |= bus_master::status_error;
}

}  // namespace outboard::sim
