#include "outboard/drivers/ide/error.hpp"

#include <array>

#include <fmt/format.h>

namespace outboard::ide {

namespace {

struct Meaning {
    std::uint8_t mask;
    const char* words;
};

constexpr std::array<Meaning, 8> error_meanings{{
    {.mask = 0x80, .words = "data was corrupted on the cable (ICRC)"},
    {.mask = 0x40, .words = "the medium's data could not be corrected (UNC)"},
    {.mask = 0x20, .words = "the medium was changed (MC)"},
    {.mask = 0x10, .words = "the address was not found on the medium (IDNF)"},
    {.mask = 0x08, .words = "a change of the medium was requested (MCR)"},
    {.mask = 0x04, .words = "the device aborted the command (ABRT)"},
    {.mask = 0x02, .words = "the end of the medium, or no medium (EOM/NM)"},
    {.mask = 0x01, .words = "the address mark was not found (AMNF)"},
}};

std::uint32_t sectors(const TaskFile& task) {
    if (task.count != 0)
        return task.count;
    return task.extended ? max_sectors_48 : max_sectors_28;
}

}  // namespace

bool succeeded(const Ending& ending) noexcept {
    return !ending.status[Status::busy] && !ending.status[Status::data_request] &&
           !ending.status[Status::error] && !ending.status[Status::device_fault] &&
           !ending.bus_master[BusMasterStatus::error] && !ending.bus_master[BusMasterStatus::active];
}

BlockStatus block_status(const Ending& ending) noexcept {
    if (all_ones(ending.status))
        return BlockStatus::removed;
    if (!ending.status[Status::error])
        return BlockStatus::device_error;
    if (ending.error[ErrorRegister::interface_crc])
        return BlockStatus::device_error;
    if (ending.error[ErrorRegister::uncorrectable] || ending.error[ErrorRegister::id_not_found] ||
        ending.error[ErrorRegister::address_mark])
        return BlockStatus::media_error;
    return BlockStatus::device_error;
}

bool worth_retrying(const Ending& ending) noexcept {
    return block_status(ending) == BlockStatus::device_error;
}

bool needs_reset(const Ending& ending) noexcept {
    return ending.status[Status::busy] || ending.status[Status::data_request];
}

std::string describe(const TaskFile& task) {
    switch (task.opcode) {
        case Opcode::set_features:
            return fmt::format("SET FEATURES {:#04x}, {:#04x}", task.features, task.count);
        case Opcode::flush_cache:
        case Opcode::flush_cache_ext:
        case Opcode::identify_device:
        case Opcode::data_set_management:
            return to_string(task.opcode);
        default:
            return fmt::format("{} of {} sectors at LBA {}", to_string(task.opcode), sectors(task), task.lba);
    }
}

std::string describe(const TaskFile& task, const Ending& ending) {
    std::string text = describe(task) + " failed:";
    if (all_ones(ending.status)) {
        text += " the device does not answer, its registers read as all ones";
        return text;
    }
    const char* separator = " ";
    const auto add = [&](std::string_view words) {
        text += separator;
        text += words;
        separator = ", ";
    };
    if (ending.status[Status::busy])
        add("the device is still busy (BSY)");
    if (!ending.status[Status::busy] && ending.status[Status::data_request])
        add("the device still wants to transfer data (DRQ)");
    if (ending.status[Status::error]) {
        for (const Meaning& meaning : error_meanings) {
            if ((ending.error.raw() & meaning.mask) != 0)
                add(meaning.words);
        }
        if (ending.error.raw() == 0)
            add("no reason is given");
        if (ending.lba && block_status(ending) == BlockStatus::media_error)
            text += fmt::format(" at LBA {}", *ending.lba);
    }
    if (ending.status[Status::device_fault])
        add("device fault (DF)");
    if (ending.bus_master[BusMasterStatus::error])
        add("the controller's transfer on the PCI bus failed");
    else if (ending.bus_master[BusMasterStatus::active])
        add("the device ended the transfer before all data had moved");
    text += fmt::format("; status {:#04x}", ending.status.raw());
    if (ending.status[Status::error])
        text += fmt::format(", error {:#04x}", ending.error.raw());
    if (ending.bus_master[BusMasterStatus::error] || ending.bus_master[BusMasterStatus::active])
        text += fmt::format(", bus master {:#04x}", ending.bus_master.raw());
    return text;
}

}  // namespace outboard::ide
