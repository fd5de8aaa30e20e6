#include "outboard/sim/models/nvme/prp.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace outboard::sim::nvme {

namespace {

constexpr std::uint64_t dword_bits = 3;
constexpr std::uint64_t qword_bits = 7;

void add(std::vector<Segment>& segments, const Segment& segment) {
    if (!segments.empty() && segments.back().iova + segments.back().size == segment.iova)
        segments.back().size += segment.size;
    else
        segments.push_back(segment);
}

/// Goes through the entries of a list, which continues in further pages.
StatusCode read_list(DmaMemory& dma, std::uint64_t page_size, std::uint64_t list, std::uint64_t bytes,
                     std::vector<Segment>& segments) {
    std::array<Le64, 64> entries;
    if ((list & qword_bits) != 0)
        return StatusCode::invalid_prp_offset;
    while (true) {
        const std::uint64_t wanted = (bytes + page_size - 1) / page_size;
        const std::uint64_t in_page = (page_size - list % page_size) / sizeof(Le64);
        const std::uint64_t count = std::min({wanted, in_page, std::uint64_t{entries.size()}});
        if (!dma.read(list, std::as_writable_bytes(std::span(entries).first(count))))
            return StatusCode::data_transfer_error;
        // The last entry of a page leads to the next page, unless it is the last one of all.
        const bool leads_on = count == in_page && wanted > count;
        for (std::uint64_t i = 0; i < count - (leads_on ? 1 : 0); ++i) {
            if (entries[i] % page_size != 0)
                return StatusCode::invalid_prp_offset;
            const std::uint64_t part = std::min(bytes, page_size);
            add(segments, {.iova = entries[i], .size = part});
            bytes -= part;
        }
        if (bytes == 0)
            return StatusCode::success;
        list = leads_on ? std::uint64_t{entries[count - 1]} : list + count * sizeof(Le64);
        if (leads_on && list % page_size != 0)
            return StatusCode::invalid_prp_offset;
    }
}

}  // namespace

StatusCode find_segments(DmaMemory& dma, std::uint64_t page_size, std::uint64_t prp1, std::uint64_t prp2,
                         std::uint64_t bytes, std::vector<Segment>& segments) {
    segments.clear();
    if ((prp1 & dword_bits) != 0)
        return StatusCode::invalid_prp_offset;
    const std::uint64_t first = std::min(bytes, page_size - prp1 % page_size);
    segments.push_back({.iova = prp1, .size = first});
    bytes -= first;
    if (bytes == 0)
        return StatusCode::success;
    if (bytes > page_size)
        return read_list(dma, page_size, prp2, bytes, segments);
    if (prp2 % page_size != 0)
        return StatusCode::invalid_prp_offset;
    add(segments, {.iova = prp2, .size = bytes});
    return StatusCode::success;
}

}  // namespace outboard::sim::nvme
