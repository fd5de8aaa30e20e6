#include "outboard/backend/vfio/info.hpp"
#include "outboard/backend/vfio/memory_lock.hpp"

#include <algorithm>
#include <cstring>

#include "tests/support/expect_error.hpp"
#include <gtest/gtest.h>
#include <linux/vfio.h>
#include <rapidcheck/gtest.h>

namespace outboard::vfio {
namespace {

using Bytes = std::vector<std::byte>;

template <class T>
void append(Bytes& bytes, const T& value) {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), first, first + sizeof value);
}

Bytes sparse_capability(std::initializer_list<vfio_region_sparse_mmap_area> areas) {
    Bytes bytes;
    append(bytes, vfio_info_cap_header{.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1, .next = 0});
    append(bytes, static_cast<std::uint32_t>(areas.size()));
    append(bytes, std::uint32_t{0});
    for (const auto& area : areas)
        append(bytes, area);
    return bytes;
}

TEST(VfioInfo, FindsACapabilityInAChain) {
    Bytes info(32);
    append(info, vfio_info_cap_header{.id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, .version = 1, .next = 48});
    info.resize(48);
    append(info, vfio_info_cap_header{.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1, .next = 0});
    const auto found = find_capability(info, 32, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
    EXPECT_EQ(found.value_or(std::span<const std::byte>()).data(), info.data() + 48);
    EXPECT_FALSE(find_capability(info, 32, VFIO_REGION_INFO_CAP_TYPE));
    EXPECT_FALSE(find_capability(info, 0, VFIO_REGION_INFO_CAP_SPARSE_MMAP));
}

TEST(VfioInfo, AChainThatLoopsOrLeavesEnds) {
    Bytes loop(32);
    append(loop, vfio_info_cap_header{.id = 9, .version = 1, .next = 32});
    EXPECT_FALSE(find_capability(loop, 32, 1));
    Bytes outside(32);
    append(outside, vfio_info_cap_header{.id = 9, .version = 1, .next = 4096});
    EXPECT_FALSE(find_capability(outside, 32, 1));
    EXPECT_FALSE(find_capability(outside, 37, 1));
}

RC_GTEST_PROP(VfioInfo, AnyBytesEndTheWalk,
              (const std::vector<std::uint8_t>& raw, std::uint32_t first, std::uint16_t id)) {
    const auto bytes = std::as_bytes(std::span(raw));
    if (const auto found = find_capability(bytes, first, id)) {
        RC_ASSERT(found->size() >= sizeof(vfio_info_cap_header));
        (void)parse_sparse_areas(*found, 4096);
        (void)parse_iova_ranges(*found);
    }
}

TEST(VfioInfo, ReadsSparseAreasInsideTheRegionOnly) {
    const Bytes capability = sparse_capability({{.offset = 0, .size = 0x1000},
                                                {.offset = 0x2000, .size = 0x8000},
                                                {.offset = 0x4000, .size = 0x1000},
                                                {.offset = 0x3000, .size = 0}});
    const auto areas = parse_sparse_areas(capability, 0x4000);
    ASSERT_EQ(areas.size(), 2U);
    EXPECT_EQ(areas[0].offset, 0U);
    EXPECT_EQ(areas[0].size, 0x1000U);
    EXPECT_EQ(areas[1].offset, 0x2000U);
    EXPECT_EQ(areas[1].size, 0x2000U);
}

TEST(VfioInfo, ReadsIovaRangesAscending) {
    Bytes bytes;
    append(bytes, vfio_info_cap_header{.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, .version = 1, .next = 0});
    append(bytes, std::uint32_t{3});  // one more than there are
    append(bytes, std::uint32_t{0});
    append(bytes, vfio_iova_range{.start = 0xfef00000, .end = 0xffffffffff});
    append(bytes, vfio_iova_range{.start = 0, .end = 0xfedfffff});
    const auto ranges = parse_iova_ranges(bytes);
    ASSERT_EQ(ranges.size(), 2U);
    EXPECT_EQ(ranges[0].last, 0xfedfffffU);
    EXPECT_EQ(ranges[1].first, 0xfef00000U);
}

TEST(MemoryLock, ReadsWhatIsLockedAndTheCapability) {
    const MemoryLock root =
        parse_memory_lock("VmPeak:\t  100 kB\nVmLck:\t     2048 kB\nCapEff:\t000001ffffffffff\n");
    EXPECT_EQ(root.locked, 2048U * 1024);
    EXPECT_TRUE(root.exempt);
    const MemoryLock user = parse_memory_lock("VmLck:\t       0 kB\nCapEff:\t0000000000000000\n");
    EXPECT_EQ(user.locked, 0U);
    EXPECT_FALSE(user.exempt);
}

TEST(MemoryLock, CountsWhatIsLockedAlready) {
    const MemoryLock lock{
        .locked = 48 << 10, .soft_limit = 64 << 10, .hard_limit = 64 << 10, .exempt = false};
    EXPECT_TRUE(lock.allows(16 << 10));
    EXPECT_FALSE(lock.allows((16 << 10) + 1));
    EXPECT_FALSE(lock.allows(UINT64_MAX));
}

TEST(MemoryLock, TheCapabilityLiftsTheLimit) {
    const MemoryLock lock{.locked = 0, .soft_limit = 0, .hard_limit = 0, .exempt = true};
    EXPECT_TRUE(lock.allows(std::uint64_t{1} << 40));
}

TEST(MemoryLock, ATooLowLimitIsExplained) {
    const MemoryLock lock{
        .locked = 32 << 10, .soft_limit = 64 << 10, .hard_limit = 64 << 10, .exempt = false};
    EXPECT_ERROR(
        check_memory_lock(lock, 4 << 20, "0000:00:04.0"), ErrorKind::not_permitted,
        "cannot map 4096 KiB of memory for DMA by 0000:00:04.0: such memory is locked, and the memory-lock "
        "limit (RLIMIT_MEMLOCK) is too low: the limit is 64 KiB, 32 KiB are locked already, 4128 KiB are "
        "needed in all; raise it to at least 4128 KiB: `ulimit -l 4128` in a root shell, memlock in "
        "/etc/security/limits.conf, or LimitMEMLOCK=4128K in a systemd unit");
}

TEST(MemoryLock, AHardLimitThatSufficesMakesItSimple) {
    const MemoryLock lock{.locked = 0, .soft_limit = 64 << 10, .hard_limit = UINT64_MAX, .exempt = false};
    const auto error = test::error_of([&] { check_memory_lock(lock, 4 << 20, "0000:00:04.0"); });
    EXPECT_EQ(error.parts().remedy, "run `ulimit -l 4096` first (the hard limit allows it)");
}

}  // namespace
}  // namespace outboard::vfio
