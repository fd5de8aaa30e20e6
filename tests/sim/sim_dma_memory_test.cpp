#include "outboard/sim/dma_memory.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace outboard::sim {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t page = 4096;
constexpr DmaRights both{.readable = true, .writable = true};

Fd memory_file(std::uint64_t size) {
    Fd file(::memfd_create("client", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    return file;
}

Bytes content(const Fd& file, std::uint64_t offset, std::size_t size) {
    Bytes bytes(size);
    EXPECT_EQ(::pread(file.get(), bytes.data(), size, static_cast<off_t>(offset)),
              static_cast<ssize_t>(size));
    return bytes;
}

class SimDma : public testing::Test, protected DmaMessages {
  protected:
    SimDma() {
        dma.set_bus_master(true);
        dma.set_log([this](std::string_view line) { lines.emplace_back(line); });
    }
    /// The first `count` bytes that a read gives.
    Bytes read(std::uint64_t iova, std::size_t count, bool complete) {
        Bytes bytes(count, std::byte{0x77});
        EXPECT_EQ(dma.read(iova, bytes), complete);
        return bytes;
    }
    bool read(std::uint64_t iova, std::span<std::byte> data) noexcept override {
        asked.emplace_back(iova, data.size());
        std::ranges::fill(data, std::byte{0x33});
        return answers;
    }
    bool write(std::uint64_t iova, std::span<const std::byte> data) noexcept override {
        asked.emplace_back(iova, data.size());
        return answers;
    }

    FaultInjector faults;
    DmaMemory dma{faults};
    Fd file = memory_file(4 * page);
    std::vector<std::string> lines;
    std::vector<std::pair<std::uint64_t, std::size_t>> asked;
    bool answers = true;
};

TEST_F(SimDma, ReachesWhatIsMapped) {
    ASSERT_EQ(dma.add(0x10000, 2 * page, both, file, page), 0);
    const Bytes sent(100, std::byte{0x5a});
    EXPECT_TRUE(dma.write(0x10ff0, sent));
    EXPECT_EQ(content(file, page + 0xff0, 100), sent);
    EXPECT_EQ(read(0x10ff0, 100, true), sent);
    EXPECT_EQ(dma.counts().reads, 1U);
    EXPECT_EQ(dma.counts().read_faults, 0U);
    EXPECT_EQ(dma.counts().write_faults, 0U);
}

TEST_F(SimDma, WhatIsNotMappedReadsAsOnesAndWritesVanish) {
    ASSERT_EQ(dma.add(0x10000, page, both, file, 0), 0);
    EXPECT_EQ(read(0x20000, 4, false), Bytes(4, std::byte{0xff}));
    EXPECT_FALSE(dma.write(0xfffff000, Bytes(8)));
    EXPECT_EQ(dma.counts().read_faults, 1U);
    EXPECT_EQ(dma.counts().write_faults, 1U);
    EXPECT_EQ(lines,
              (std::vector<std::string>{
                  "DMA fault 1: read of 4 bytes at 0x20000: not mapped for it, or not all of it",
                  "DMA fault 1: write of 8 bytes at 0xfffff000: not mapped for it, or not all of it"}));
}

TEST_F(SimDma, OfAnAccessAcrossAnEdgeTheMappedPartIsDone) {
    ASSERT_EQ(dma.add(0x10000, page, both, file, 0), 0);
    ASSERT_EQ(dma.add(0x12000, page, both, file, 2 * page), 0);
    EXPECT_FALSE(dma.write(0x10800, Bytes(2 * page, std::byte{1})));
    EXPECT_EQ(content(file, 0x800, 0x800), Bytes(0x800, std::byte{1}));
    EXPECT_EQ(content(file, page, page), Bytes(page)) << "nothing in the hole";
    EXPECT_EQ(content(file, 2 * page, 0x800), Bytes(0x800, std::byte{1}));
    Bytes expected(3 * page, std::byte{0xff});
    std::fill_n(expected.begin() + 0x800, 0x800, std::byte{1});
    std::fill_n(expected.begin(), 0x800, std::byte{0});
    std::fill_n(expected.begin() + 2 * page, 0x800, std::byte{1});
    std::fill_n(expected.begin() + 2 * page + 0x800, 0x800, std::byte{0});
    EXPECT_EQ(read(0x10000, 3 * page, false), expected);
}

TEST_F(SimDma, NeighboursAreOneMemory) {
    ASSERT_EQ(dma.add(0x10000, page, both, file, page), 0);
    ASSERT_EQ(dma.add(0x11000, page, both, file, 0), 0);
    EXPECT_TRUE(dma.write(0x10ffe, Bytes(4, std::byte{9})));
    EXPECT_EQ(content(file, 2 * page - 2, 2), Bytes(2, std::byte{9}));
    EXPECT_EQ(content(file, 0, 2), Bytes(2, std::byte{9}));
    EXPECT_TRUE(dma.window(0x10ffe, 4, both).empty()) << "but not one window";
}

TEST_F(SimDma, RightsAreKept) {
    ASSERT_EQ(dma.add(0x10000, page, {.readable = true, .writable = false}, file, 0), 0);
    ASSERT_EQ(dma.add(0x11000, page, {.readable = false, .writable = true}, file, page), 0);
    EXPECT_FALSE(dma.write(0x10000, Bytes(4, std::byte{1})));
    EXPECT_EQ(content(file, 0, 4), Bytes(4));
    EXPECT_EQ(read(0x11000, 4, false), Bytes(4, std::byte{0xff}));
    EXPECT_TRUE(dma.write(0x11000, Bytes(4, std::byte{1})));
    EXPECT_TRUE(dma.window(0x10000, 4, both).empty());
    EXPECT_EQ(dma.window(0x10000, 4, {.readable = true, .writable = false}).size(), 4U);
}

TEST_F(SimDma, WithoutBusMasteringEverythingFaults) {
    ASSERT_EQ(dma.add(0x10000, page, both, file, 0), 0);
    dma.set_bus_master(false);
    EXPECT_EQ(read(0x10000, 2, false), Bytes(2, std::byte{0xff}));
    EXPECT_FALSE(dma.write(0x10000, Bytes(2, std::byte{1})));
    EXPECT_EQ(content(file, 0, 2), Bytes(2));
    EXPECT_TRUE(dma.window(0x10000, 4, both).empty());
    EXPECT_EQ(lines.at(0), "DMA fault 1: read of 2 bytes at 0x10000: bus mastering is off");
}

TEST_F(SimDma, AWindowIsTheMemoryItself) {
    ASSERT_EQ(dma.add(0x10000, 2 * page, both, file, page), 0);
    const auto window = dma.window(0x10010, 0x1ff0, both);
    ASSERT_EQ(window.size(), 0x1ff0U);
    window[0] = std::byte{7};
    EXPECT_EQ(content(file, page + 0x10, 1), Bytes(1, std::byte{7}));
    EXPECT_TRUE(dma.window(0x10010, 0x1ff1, both).empty());
    EXPECT_TRUE(dma.window(0x10010, ~std::uint64_t{0}, both).empty());
    EXPECT_TRUE(dma.window(0xffff, 1, both).empty());
}

TEST_F(SimDma, MemoryWithoutAFileIsAskedFor) {
    ASSERT_EQ(dma.add(0x10000, 2 * page, both, Fd(), 0), 0);
    EXPECT_EQ(read(0x10000, 2, false), Bytes(2, std::byte{0xff})) << "there is nobody to ask";
    dma.set_messages(this);
    EXPECT_EQ(read(0x10004, 5000, true), Bytes(5000, std::byte{0x33}));
    EXPECT_TRUE(dma.write(0x10100, Bytes(7)));
    EXPECT_EQ(asked, (std::vector<std::pair<std::uint64_t, std::size_t>>{{0x10004, 5000}, {0x10100, 7}}));
    answers = false;
    EXPECT_EQ(read(0x10000, 2, false), Bytes(2, std::byte{0xff}));
    EXPECT_FALSE(dma.write(0x10000, Bytes(2)));
    EXPECT_TRUE(dma.window(0x10000, 1, both).empty());
}

TEST_F(SimDma, MappingsThatCannotBeAreRefused) {
    EXPECT_EQ(dma.add(0x10000, 0, both, file, 0), EINVAL);
    EXPECT_EQ(dma.add(0x10000, 100, both, file, 0), EINVAL);
    EXPECT_EQ(dma.add(0x10001, page, both, file, 0), EINVAL);
    EXPECT_EQ(dma.add(0x10000, page, {}, file, 0), EINVAL);
    EXPECT_EQ(dma.add(~std::uint64_t{0xfff}, 2 * page, both, file, 0), EINVAL) << "it wraps around";
    EXPECT_EQ(dma.add(0x10000, 5 * page, both, file, 0), EINVAL) << "beyond the file";
    EXPECT_EQ(dma.add(0x10000, page, both, file, 4 * page), EINVAL);
    EXPECT_EQ(dma.add(0x10000, page, both, file, ~std::uint64_t{0xfff}), EINVAL);
    EXPECT_EQ(dma.mappings(), 0U);
    EXPECT_EQ(dma.add(~std::uint64_t{0xfff}, page, both, file, 0), 0) << "the last page there is";
    EXPECT_TRUE(dma.write(~std::uint64_t{0}, Bytes(1, std::byte{4})));
    EXPECT_EQ(content(file, 0xfff, 1), Bytes(1, std::byte{4}));
}

TEST_F(SimDma, OverlapsAreRefused) {
    ASSERT_EQ(dma.add(0x10000, 2 * page, both, file, 0), 0);
    EXPECT_EQ(dma.add(0x10000, 2 * page, both, file, 0), EEXIST);
    EXPECT_EQ(dma.add(0x11000, page, both, file, 0), EEXIST);
    EXPECT_EQ(dma.add(0xf000, 2 * page, both, file, 0), EEXIST);
    EXPECT_EQ(dma.add(0xf000, 4 * page, both, file, 0), EEXIST);
    EXPECT_EQ(dma.add(0, ~std::uint64_t{0xfff}, both, file, 0), EEXIST);
    EXPECT_EQ(dma.add(0xf000, page, both, file, 0), 0);
    EXPECT_EQ(dma.add(0x12000, page, both, file, 0), 0);
}

TEST_F(SimDma, AMappingIsRemovedAsItWasAdded) {
    ASSERT_EQ(dma.add(0x10000, 2 * page, both, file, 0), 0);
    EXPECT_EQ(dma.remove(0x10000, page), ENOENT);
    EXPECT_EQ(dma.remove(0x11000, page), ENOENT);
    EXPECT_EQ(dma.remove(0x0, 2 * page), ENOENT);
    EXPECT_EQ(dma.remove(0x10000, 2 * page), 0);
    EXPECT_EQ(dma.remove(0x10000, 2 * page), ENOENT);
    EXPECT_FALSE(dma.write(0x10000, Bytes(1)));
}

TEST_F(SimDma, WhatIsNoMemoryFileIsAskedForInstead) {
    int ends[2] = {-1, -1};
    ASSERT_EQ(::pipe(ends), 0);
    const Fd reader(ends[0]);
    const Fd writer(ends[1]);
    EXPECT_EQ(dma.add(0x10000, page, both, reader, 0), 0);
    EXPECT_EQ(dma.add(0x20000, page, both, Fd(::eventfd(0, 0)), 0), 0);
    EXPECT_TRUE(dma.window(0x10000, 1, both).empty());
    EXPECT_EQ(dma.add(0x30000, page, both, Fd(::open("/proc/self/maps", O_RDONLY)), 0), 0);
}

TEST_F(SimDma, AReadOnlyFileIsNotWritten) {
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    const Fd read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(dma.add(0x10000, page, both, read_only, 0), EACCES);
    EXPECT_EQ(dma.add(0x10000, page, {.readable = true, .writable = false}, read_only, 0), 0);
}

TEST_F(SimDma, AClientThatTakesItsMemoryAwayHurtsItselfOnly) {
    ASSERT_EQ(dma.add(0x10000, 2 * page, both, file, 0), 0);
    ASSERT_EQ(dma.add(0x20000, page, both, memory_file(page), 0), 0);
    ASSERT_TRUE(dma.write(0x10000, Bytes(2 * page, std::byte{1})));
    ASSERT_TRUE(dma.write(0x20000, Bytes(page, std::byte{2})));
    ASSERT_EQ(::ftruncate(file.get(), 0), 0);
    EXPECT_EQ(read(0x10800, 4, true), Bytes(4));
    EXPECT_TRUE(dma.write(0x11000, Bytes(page)));
    EXPECT_EQ(read(0x20000, 2, true), Bytes(2, std::byte{2})) << "another mapping is as it was";
    EXPECT_EQ(dma.remove(0x10000, 2 * page), 0);
}

TEST_F(SimDma, ManyFaultsAreCountedAndFewReported) {
    for (int i = 0; i < 1000; ++i)
        read(0x5000, 1, false);
    EXPECT_EQ(dma.counts().read_faults, 1000U);
    EXPECT_EQ(lines.size(), 16U + 5U) << "then 32, 64 … 512";
}

}  // namespace
}  // namespace outboard::sim
