#include "outboard/drivers/nvme/prp.hpp"

#include <algorithm>

namespace outboard::nvme {

namespace {

constexpr std::uint64_t offset_mask = page_bytes - 1;

/// Collects the pages after the first: none, one that goes into PRP2, or a list.
class Pages {
  public:
    explicit Pages(const PrpList& list) noexcept : list_(list) {}

    bool add(std::uint64_t page) noexcept {
        if (count_ == list_.entries.size())
            return false;
        list_.entries[count_++] = page;
        last_ = page;
        return true;
    }
    std::uint64_t prp2() const noexcept { return count_ > 1 ? list_.iova : last_; }

  private:
    const PrpList& list_;
    std::size_t count_ = 0;
    std::uint64_t last_ = 0;
};

bool wraps(const DmaSpan& segment) {
    return segment.length - 1 > std::numeric_limits<std::uint64_t>::max() - segment.iova;
}

}  // namespace

std::optional<DataPointer> make_prps(std::span<const DmaSpan> data, std::uint64_t length,
                                     const PrpList& list) noexcept {
    if (data.empty())
        return std::nullopt;
    const std::uint64_t first = data.front().iova;
    if (first % 4 != 0)
        return std::nullopt;
    DataPointer pointer;
    if (length - 1 < max_short_bytes && make_short_prps(data, length, pointer))
        return pointer;

    Pages pages(list);
    std::uint64_t left = length;
    for (std::size_t i = 0; i < data.size(); ++i) {
        const DmaSpan& segment = data[i];
        if (segment.length == 0 || segment.length > left || wraps(segment) ||
            (i != 0 && (segment.iova & offset_mask) != 0))
            return std::nullopt;
        left -= segment.length;
        if (left != 0 && ((segment.iova + segment.length) & offset_mask) != 0)
            return std::nullopt;
        const std::uint64_t last = (segment.iova + (segment.length - 1)) & ~offset_mask;
        std::uint64_t page = segment.iova & ~offset_mask;
        if (i != 0 && !pages.add(page))
            return std::nullopt;
        while (page != last) {
            page += page_bytes;
            if (!pages.add(page))
                return std::nullopt;
        }
    }
    if (left != 0)
        return std::nullopt;
    return DataPointer{.prp1 = first, .prp2 = pages.prp2()};
}

}  // namespace outboard::nvme
