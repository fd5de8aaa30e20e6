// A Backend in memory. It knows the accesses that a test announced and rejects all others, and it is an IOMMU
// that refuses mappings which overlap, lie outside its windows or are not whole pages.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace outboard::test {

class FakeBackend final : public Backend {
  public:
    FakeBackend() { regions_[RegionIndex::config].bytes.resize(256); }

    // ---- what the test sets and sees ----

    /// Gives the device a region; `mapped` as memory, otherwise by calls.
    std::vector<std::byte>& add_region(RegionIndex index, std::size_t size, bool mapped) {
        FakeRegion& region = regions_[index];
        region.bytes.resize(size);
        if (mapped)
            region.mappable = {{.offset = 0, .size = size}};
        return region.bytes;
    }
    void set_mappable(RegionIndex index, std::vector<MappableArea> areas) {
        regions_[index].mappable = std::move(areas);
    }
    std::vector<std::byte>& region(RegionIndex index) { return regions_[index].bytes; }
    std::uint16_t command() const {
        std::uint16_t value = 0;
        std::memcpy(&value, regions_.at(RegionIndex::config).bytes.data() + 4, sizeof value);
        return value;
    }

    std::map<InterruptKind, InterruptInfo> interrupts;
    std::map<InterruptKind, std::vector<int>> enabled;
    std::vector<IovaRange> windows = {{.first = 0, .last = 0xfedfffff},
                                      {.first = 0xfef00000, .last = 0xffffffffff}};
    std::map<std::uint64_t, DmaMapping> mappings;
    int access_error = 0;  ///< what region accesses fail with; 0: they succeed
    int map_error = 0;     ///< what map_dma fails with
    bool can_reset = true;
    int resets = 0;
    int unmasks = 0;
    std::vector<std::size_t> access_sizes;
    std::function<void()> on_unmap = [] {};

    // ---- Backend ----

    const std::string& name() const noexcept override { return name_; }

    RegionInfo region_info(RegionIndex index) const override {
        const auto found = regions_.find(index);
        if (found == regions_.end())
            return {};
        return {.size = found->second.bytes.size(),
                .readable = true,
                .writable = true,
                .mappable = found->second.mappable};
    }

    int read_region(RegionIndex index, std::uint64_t offset, std::span<std::byte> data) noexcept override {
        if (const int error = check_access(index, offset, data.size()); error != 0)
            return error;
        std::memcpy(data.data(), regions_[index].bytes.data() + offset, data.size());
        return 0;
    }

    int write_region(RegionIndex index, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override {
        if (const int error = check_access(index, offset, data.size()); error != 0)
            return error;
        std::memcpy(regions_[index].bytes.data() + offset, data.data(), data.size());
        return 0;
    }

    std::span<std::byte> map_region(RegionIndex index, const MappableArea& area) override {
        return std::span(regions_.at(index).bytes).subspan(area.offset, area.size);
    }

    InterruptInfo interrupt_info(InterruptKind kind) const override {
        const auto found = interrupts.find(kind);
        return found != interrupts.end() ? found->second : InterruptInfo{};
    }

    void set_interrupts(InterruptKind kind, std::span<const int> eventfds) override {
        if (eventfds.empty())
            enabled.erase(kind);
        else
            enabled[kind] = {eventfds.begin(), eventfds.end()};
        EXPECT_LE(enabled.size(), 1U) << "two kinds of interrupts at once";
    }
    int mask_intx() noexcept override { return 0; }
    int unmask_intx() noexcept override {
        ++unmasks;
        return 0;
    }

    bool resettable() const noexcept override { return can_reset; }
    void reset() override { ++resets; }

    std::vector<IovaRange> iova_ranges() const override { return windows; }
    std::uint64_t dma_page_size() const noexcept override { return 4096; }

    void map_dma(const DmaMapping& mapping) override {
        if (map_error != 0)
            throw_errno(map_error, "map memory for", name_);
        const std::uint64_t size = mapping.memory.size();
        const std::uint64_t last = mapping.iova + (size - 1);
        EXPECT_EQ(mapping.iova % 4096, 0U);
        EXPECT_NE(mapping.iova, 0U);
        EXPECT_GT(size, 0U);
        EXPECT_EQ(size % 4096, 0U);
        EXPECT_TRUE(std::ranges::any_of(windows, [&](const IovaRange& window) {
            return window.first <= mapping.iova && last <= window.last;
        })) << "outside the IOMMU's windows";
        for (const auto& [iova, other] : mappings)
            EXPECT_TRUE(last < iova || mapping.iova > iova + (other.memory.size() - 1))
                << "two mappings overlap";
        mappings.emplace(mapping.iova, mapping);
    }

    void unmap_dma(std::uint64_t iova, std::uint64_t size) override {
        const auto found = mappings.find(iova);
        ASSERT_TRUE(found != mappings.end() && found->second.memory.size() == size)
            << "unmaps what is not mapped";
        on_unmap();
        mappings.erase(found);
    }

  private:
    struct FakeRegion {
        std::vector<std::byte> bytes;
        std::vector<MappableArea> mappable;
    };

    int check_access(RegionIndex index, std::uint64_t offset, std::size_t size) noexcept {
        const auto found = regions_.find(index);
        const bool known = found != regions_.end() && offset <= found->second.bytes.size() &&
                           size <= found->second.bytes.size() - offset;
        EXPECT_TRUE(known) << "an access that the device does not know: region " << static_cast<int>(index)
                           << ", offset " << offset << ", " << size << " bytes";
        access_sizes.push_back(size);
        return known ? access_error : EINVAL;
    }

    std::string name_ = "0000:00:04.0";
    std::map<RegionIndex, FakeRegion> regions_;
};

}  // namespace outboard::test
