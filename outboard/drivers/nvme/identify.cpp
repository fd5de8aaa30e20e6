#include "outboard/drivers/nvme/identify.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/base/endian.hpp"
#include "outboard/drivers/nvme/prp.hpp"

#include <bit>
#include <limits>

namespace outboard::nvme {

namespace {

using Page = std::span<const std::byte, identify_bytes>;

template <class T>
T number(Page bytes, std::size_t offset) {
    return read_at<Little<T>>(bytes, offset).value_or(T{});
}
std::uint8_t byte(Page bytes, std::size_t offset) {
    return std::to_integer<std::uint8_t>(bytes[offset]);
}

/// ASCII, filled with spaces. Whatever is not printable becomes a space.
std::string text(Page bytes, std::size_t offset, std::size_t size) {
    std::string result;
    for (const std::byte one : bytes.subspan(offset, size)) {
        const auto character = std::to_integer<char>(one);
        result += character > ' ' && character < 0x7f ? character : ' ';
    }
    const auto begin = result.find_first_not_of(' ');
    if (begin == std::string::npos)
        return {};
    return result.substr(begin, result.find_last_not_of(' ') - begin + 1);
}

}  // namespace

std::expected<ControllerIdentity, std::string_view> parse_controller(Page bytes) {
    // CNTRLTYPE is 0 where it is not reported (before 1.4).
    if (const unsigned type = byte(bytes, 111); type > 1)
        return std::unexpected("it is a discovery or administrative controller, which has no disks");
    // SQES and CQES: required sizes of entries in bits 3:0, largest ones in 7:4.
    const unsigned submission = byte(bytes, 512);
    const unsigned completion = byte(bytes, 513);
    if ((submission & 0xf) > 6 || submission >> 4 < 6 || (completion & 0xf) > 4 || completion >> 4 < 4)
        return std::unexpected("its queue entries have not the sizes of the NVM command set");

    ControllerIdentity identity;
    identity.serial = text(bytes, 4, 20);
    identity.model = text(bytes, 24, 40);
    identity.firmware = text(bytes, 64, 8);
    // In units of the smallest page; a power that goes beyond 2^64 limits nothing.
    if (const unsigned power = byte(bytes, 77); power != 0 && power < 48)
        identity.max_transfer = page_bytes << power;
    identity.shutdown_time_us = number<std::uint32_t>(bytes, 88);
    identity.namespace_events = (number<std::uint32_t>(bytes, 92) >> 8 & 1) != 0;
    identity.doorbell_buffers = (number<std::uint16_t>(bytes, 256) >> 8 & 1) != 0;
    identity.error_entries = byte(bytes, 262) + 1U;
    identity.namespaces = number<std::uint32_t>(bytes, 516);
    const unsigned commands = number<std::uint16_t>(bytes, 520);
    identity.dataset_management = (commands >> 2 & 1) != 0;
    identity.write_zeroes = (commands >> 3 & 1) != 0;
    identity.write_cache = (byte(bytes, 525) & 1) != 0;
    return identity;
}

std::expected<NamespaceIdentity, std::string_view> parse_namespace(std::uint32_t id, Page bytes) {
    NamespaceIdentity identity;
    identity.id = id;
    identity.blocks = number<std::uint64_t>(bytes, 0);
    if (identity.blocks == 0)
        return std::unexpected("it is not active, or has no blocks");
    // FLBAS: the format's number in bits 3:0, and 6:5 above them where there are more than 16 formats.
    const unsigned formats = byte(bytes, 25) + 1U;
    const unsigned chosen = byte(bytes, 26);
    const unsigned format = (chosen & 0xfU) | (formats > 16 ? chosen >> 1U & 0x30U : 0U);
    if (format >= formats || format >= 64)
        return std::unexpected("it is in a format that it does not list");
    const auto description = number<std::uint32_t>(bytes, 128 + std::size_t{format} * 4);
    if ((description & 0xffff) != 0)
        return std::unexpected("it is formatted with metadata, which this driver does not do");
    const unsigned shift = description >> 16 & 0xff;
    if (shift != 9 && shift != 12)
        return std::unexpected("its blocks have neither 512 nor 4096 bytes");
    identity.block_size = 1U << shift;
    if (identity.blocks > std::numeric_limits<std::uint64_t>::max() >> shift)
        return std::unexpected("its size goes beyond 64 bits");
    identity.physical_block_size = identity.block_size;
    identity.read_only = (byte(bytes, 99) & 1) != 0;
    // NSFEAT.OPTPERF: NPWG holds the preferred write granularity in blocks, less one.
    if ((byte(bytes, 24) >> 4 & 1) != 0) {
        const std::uint32_t granularity = number<std::uint16_t>(bytes, 64) + 1U;
        if (std::has_single_bit(granularity) && granularity <= (1U << 16) / identity.block_size)
            identity.physical_block_size = granularity * identity.block_size;
    }
    return identity;
}

std::vector<std::uint32_t> parse_namespace_list(Page bytes) {
    std::vector<std::uint32_t> ids;
    for (std::size_t offset = 0; offset < identify_bytes; offset += 4) {
        const auto id = number<std::uint32_t>(bytes, offset);
        if (id == 0 || id >= 0xfffffffe || (!ids.empty() && id <= ids.back()))
            break;
        ids.push_back(id);
    }
    return ids;
}

}  // namespace outboard::nvme
