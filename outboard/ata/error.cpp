#include "outboard/ata/error.hpp"

#include <array>

#include <fmt/format.h>

namespace outboard::ata {

namespace {

struct Meaning {
    std::uint8_t mask;
    const char* words;
};

constexpr std::array<Meaning, 8> error_meanings{{
    {.mask = error_interface_crc, .words = "data was corrupted on the cable (ICRC)"},
    {.mask = error_uncorrectable, .words = "the medium's data could not be corrected (UNC)"},
    {.mask = 0x20, .words = "the medium was changed (MC)"},
    {.mask = error_id_not_found, .words = "the address was not found on the medium (IDNF)"},
    {.mask = 0x08, .words = "a change of the medium was requested (MCR)"},
    {.mask = error_aborted, .words = "the device aborted the command (ABRT)"},
    {.mask = 0x02, .words = "the end of the medium, or no medium (EOM/NM)"},
    {.mask = error_address_mark, .words = "the address mark was not found (AMNF)"},
}};

std::uint32_t sectors(const TaskFile& task) {
    if (is_queued(task.opcode))
        return task.features != 0 ? task.features : max_sectors_48;
    if (task.count != 0)
        return task.count;
    return task.extended ? max_sectors_48 : max_sectors_28;
}

}  // namespace

BlockStatus block_status(std::uint8_t error) noexcept {
    if ((error & error_interface_crc) != 0)
        return BlockStatus::device_error;
    const bool medium = (error & (error_uncorrectable | error_id_not_found | error_address_mark)) != 0;
    return medium ? BlockStatus::media_error : BlockStatus::device_error;
}

std::string describe_error(std::uint8_t error) {
    std::string text;
    for (const Meaning& meaning : error_meanings) {
        if ((error & meaning.mask) != 0)
            text += fmt::format("{}{}", text.empty() ? "" : ", ", meaning.words);
    }
    return text.empty() ? "no reason is given" : text;
}

std::string describe(const TaskFile& task) {
    switch (task.opcode) {
        case Opcode::set_features:
            return fmt::format("SET FEATURES {:#04x}, {:#04x}", task.features, task.count);
        case Opcode::flush_cache:
        case Opcode::flush_cache_ext:
        case Opcode::identify_device:
        case Opcode::data_set_management:
        case Opcode::read_log_ext:
            return to_string(task.opcode);
        default:
            return fmt::format("{} of {} sectors at LBA {}", to_string(task.opcode), sectors(task), task.lba);
    }
}

}  // namespace outboard::ata
