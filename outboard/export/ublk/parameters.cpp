#include "outboard/export/ublk/parameters.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

namespace outboard::ublk {

namespace {

constexpr std::uint32_t page_bytes = 4096;

std::uint8_t shift_of(std::uint32_t power_of_two) {
    return static_cast<std::uint8_t>(std::countr_zero(power_of_two));
}

}  // namespace

std::uint32_t request_buffer_bytes(const BlockInfo& info) {
    const std::uint32_t bytes = std::min(info.max_transfer, largest_request) & ~(page_bytes - 1);
    if (bytes == 0)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "export",
                     .subject = info.model,
                     .cause = fmt::format("it transfers {} bytes at once, ublk needs {}", info.max_transfer,
                                          page_bytes),
                     .remedy = {}});
    return bytes;
}

Parameters make_parameters(const BlockInfo& info, std::uint32_t buffer_bytes) {
    const std::uint32_t physical = std::max(info.physical_block_size, info.block_size);
    Parameters parameters{};
    parameters.length = sizeof parameters;
    parameters.types = parameter::basic;
    BasicParameters& basic = parameters.basic;
    basic.attributes =
        (info.read_only ? attribute::read_only : 0) | (info.rotational ? attribute::rotational : 0) |
        (info.volatile_write_cache ? attribute::volatile_cache : 0) |
        (info.volatile_write_cache && info.force_unit_access ? attribute::force_unit_access : 0);
    basic.logical_block_shift = shift_of(info.block_size);
    basic.physical_block_shift = shift_of(physical);
    basic.io_min_shift = basic.physical_block_shift;
    basic.io_opt_shift = basic.physical_block_shift;
    basic.max_sectors = buffer_bytes / sector_bytes;
    basic.device_sectors = info.capacity / sector_bytes;
    if (info.max_discard != 0 || info.max_write_zeroes != 0) {
        parameters.types |= parameter::discard;
        parameters.discard.granularity = physical;
        parameters.discard.max_discard_sectors = info.max_discard / sector_bytes;
        parameters.discard.max_write_zeroes_sectors = info.max_write_zeroes / sector_bytes;
        parameters.discard.max_segments = 1;
    }
    return parameters;
}

std::string mismatch(const Parameters& old, const BlockInfo& info, std::uint32_t buffer_bytes) {
    const Parameters now = make_parameters(info, buffer_bytes);
    if (old.basic.device_sectors != now.basic.device_sectors)
        return fmt::format("its size was {} sectors and is {} now", old.basic.device_sectors,
                           now.basic.device_sectors);
    if (old.basic.logical_block_shift != now.basic.logical_block_shift)
        return fmt::format("its block size was {} and is {} now", 1U << old.basic.logical_block_shift,
                           info.block_size);
    if (old.basic.max_sectors > now.basic.max_sectors)
        return fmt::format("it took requests of {} sectors and takes {} now", old.basic.max_sectors,
                           now.basic.max_sectors);
    const bool had_discard = (old.types & parameter::discard) != 0;
    if (had_discard && (old.discard.max_discard_sectors > now.discard.max_discard_sectors ||
                        old.discard.max_write_zeroes_sectors > now.discard.max_write_zeroes_sectors))
        return "it no longer discards or zeroes as much at once";
    return {};
}

}  // namespace outboard::ublk
