#include "outboard/drivers/ide/error.hpp"

#include <fmt/format.h>

namespace outboard::ide {

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
    return ata::block_status(ending.error.raw());
}

bool worth_retrying(const Ending& ending) noexcept {
    return block_status(ending) == BlockStatus::device_error;
}

bool needs_reset(const Ending& ending) noexcept {
    return ending.status[Status::busy] || ending.status[Status::data_request];
}

std::string describe(const TaskFile& task, const Ending& ending) {
    std::string text = ata::describe(task) + " failed:";
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
        add(ata::describe_error(ending.error.raw()));
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
