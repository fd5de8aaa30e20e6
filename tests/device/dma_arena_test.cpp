#include "outboard/device/dma_arena.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "tests/support/expect_error.hpp"
#include "tests/support/fake_backend.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace outboard {
namespace {

using test::FakeBackend;
using ::testing::HasSubstr;

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

/// Pages of the process, given back at the end.
class Pages {
  public:
    explicit Pages(std::size_t size)
        : memory_(static_cast<std::byte*>(
                      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
                  size) {}
    ~Pages() { ::munmap(memory_.data(), memory_.size()); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    Pages(Pages&&) = delete;
    Pages& operator=(Pages&&) = delete;
    std::span<std::byte> memory() const { return memory_; }

  private:
    std::span<std::byte> memory_;
};

TEST(DmaArena, IsMappedOnceForProcessAndDevice) {
    FakeBackend backend;
    {
        const DmaArena arena(backend, {.size = 100 * kib});
        EXPECT_EQ(arena.span().length, 100 * kib);
        ASSERT_EQ(backend.mappings.size(), 1U);
        const DmaMapping& mapping = backend.mappings.begin()->second;
        EXPECT_EQ(mapping.iova, arena.span().iova);
        EXPECT_EQ(mapping.memory.data(), arena.span().address);
        EXPECT_EQ(mapping.fd, arena.fd());
    }
    EXPECT_TRUE(backend.mappings.empty());
}

TEST(DmaArena, RoundsUpToPages) {
    FakeBackend backend;
    EXPECT_EQ(DmaArena(backend, {.size = 1}).span().length, 4096U);
}

TEST(DmaArena, IsAFileThatOthersCanMapButNotCut) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 64 * kib});
    const DmaBuffer buffer = arena.allocate(4096, 4096);
    std::memcpy(buffer.address(), "hello", 6);
    void* other = ::mmap(nullptr, 64 * kib, PROT_READ, MAP_SHARED, arena.fd(), 0);
    ASSERT_NE(other, MAP_FAILED);
    const auto offset = static_cast<std::size_t>(buffer.iova() - arena.span().iova);
    EXPECT_STREQ(static_cast<const char*>(other) + offset, "hello");
    ::munmap(other, 64 * kib);
    EXPECT_NE(::ftruncate(arena.fd(), 4096), 0);
    struct stat info = {};
    ASSERT_EQ(::fstat(arena.fd(), &info), 0);
    EXPECT_EQ(info.st_size, 64 * 1024);
}

TEST(DmaArena, LivesWithoutHugePages) {
    FakeBackend backend;
    {
        // 2 MiB pages where this machine has them, ordinary ones elsewhere.
        const DmaArena arena(backend, {.size = 3 * mib});
        EXPECT_GE(arena.span().length, 3 * mib);
        std::memset(arena.span().address, 1, arena.span().length);
    }
    const DmaArena small(backend, {.size = 3 * mib, .huge_pages = false});
    EXPECT_FALSE(small.huge_pages());
    EXPECT_EQ(small.span().length, 3 * mib);
}

TEST(DmaArena, ItsIovaIsNeverZeroAndLiesInAWindow) {
    FakeBackend backend;
    backend.windows = {{.first = 0, .last = mib - 1}, {.first = 5 * mib, .last = 16 * mib - 1}};
    const DmaArena arena(backend, {.size = 2 * mib, .huge_pages = false});
    EXPECT_EQ(arena.span().iova, 6 * mib);
}

TEST(DmaArena, StaysBelowTheDevicesAddressWidth) {
    FakeBackend backend;
    backend.windows = {{.first = 0, .last = UINT64_MAX}};
    const DmaArena arena(backend, {.size = 4 * mib, .address_bits = 23, .huge_pages = false});
    EXPECT_LE(arena.span().iova + arena.span().length, std::uint64_t{1} << 23);
    EXPECT_ERROR(DmaArena(backend, {.size = 8 * mib, .address_bits = 23, .huge_pages = false}),
                 ErrorKind::failed,
                 "cannot find 8388608 bytes of I/O addresses below 0x7fffff for 0000:00:04.0: the windows of "
                 "its IOMMU "
                 "have no such piece free; use a smaller arena, or register less memory at once");
}

TEST(DmaArena, NothingIsLeftWhenTheIommuRefuses) {
    FakeBackend backend;
    backend.map_error = EPERM;
    EXPECT_ERROR(DmaArena(backend, {.size = 64 * kib}), ErrorKind::not_permitted,
                 "cannot map memory for 0000:00:04.0: Operation not permitted (EPERM)");
    EXPECT_TRUE(backend.mappings.empty());
}

TEST(DmaArena, RefusesASizeOfZero) {
    FakeBackend backend;
    EXPECT_ERROR(DmaArena(backend, {.size = 0}), ErrorKind::failed,
                 "cannot create the DMA arena of 0000:00:04.0: 0 bytes is not a size for it");
}

TEST(DmaArena, BuffersAreZeroedAgain) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 4096});
    std::memset(arena.allocate(4096).address(), 0xff, 4096);
    const DmaBuffer again = arena.allocate(4096);
    EXPECT_TRUE(std::ranges::all_of(again.span().bytes(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST(DmaArena, SaysHowMuchIsLeft) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 64 * kib});
    const DmaBuffer half = arena.allocate(32 * kib);
    EXPECT_ERROR(
        arena.allocate(48 * kib, 4096), ErrorKind::failed,
        "cannot allocate 49152 bytes, aligned to 4096, of the DMA arena of 0000:00:04.0: 32768 of its 65536 "
        "bytes are free, and no piece fits; make the arena larger");
    EXPECT_ERROR(
        arena.allocate(64, 3), ErrorKind::failed,
        "cannot allocate DMA memory of 0000:00:04.0: an alignment of 3 bytes is not a power of two up to "
        "2097152");
}

TEST(DmaArena, AMovedBufferIsReleasedOnce) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 64 * kib});
    DmaBuffer first = arena.allocate(4096);
    DmaBuffer second = std::move(first);
    DmaBuffer third = arena.allocate(4096);
    third = std::move(second);
    EXPECT_EQ(arena.free_bytes(), 60 * kib);
    third = DmaBuffer();
    EXPECT_EQ(arena.free_bytes(), 64 * kib);
}

TEST(DmaArena, ForeignMemoryIsMappedForAWhile) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 64 * kib});
    const Pages pages(16 * kib);
    {
        const DmaBuffer buffer = arena.register_memory(pages.memory(), DmaAccess::read);
        EXPECT_EQ(buffer.address(), pages.memory().data());
        ASSERT_TRUE(backend.mappings.contains(buffer.iova()));
        EXPECT_EQ(backend.mappings.at(buffer.iova()).access, DmaAccess::read);
        EXPECT_EQ(backend.mappings.at(buffer.iova()).fd, -1);
    }
    EXPECT_EQ(backend.mappings.size(), 1U);
    EXPECT_EQ(arena.free_bytes(), 64 * kib) << "foreign memory is not the arena's";
}

TEST(DmaArena, ForeignMemoryMustBeWholePages) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 64 * kib});
    const Pages pages(8 * kib);
    EXPECT_ERROR(
        arena.register_memory(pages.memory().subspan(1, 4096)), ErrorKind::failed,
        "cannot register 4096 bytes of memory with 0000:00:04.0: it is not a whole number of pages of 4096 "
        "bytes; align it to pages");
    EXPECT_THROW((void)arena.register_memory(pages.memory().first(100)), Error);
    EXPECT_THROW((void)arena.register_memory({}), Error);
}

/// Pieces come and go in any order; at any time they are inside, aligned, apart, and counted; in the end the
/// arena is one piece again.
RC_GTEST_PROP(DmaArenaProperty, PiecesAreApartAlignedAndCoalesce, ()) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 256 * kib});
    std::vector<DmaBuffer> buffers;
    const auto steps = *rc::gen::container<std::vector<std::pair<std::uint32_t, std::uint8_t>>>(
        rc::gen::pair(rc::gen::inRange<std::uint32_t>(0, 40000), rc::gen::arbitrary<std::uint8_t>()));
    for (const auto& [size, choice] : steps) {
        if (choice % 3 == 0 && !buffers.empty()) {
            buffers.erase(buffers.begin() + choice % static_cast<std::ptrdiff_t>(buffers.size()));
            continue;
        }
        const std::size_t alignment = std::size_t{1} << (choice % 17);
        try {
            buffers.push_back(arena.allocate(size + 1, alignment));
        } catch (const Error&) {
            continue;  // full: what is there must still be right
        }
        const DmaSpan& span = buffers.back().span();
        RC_ASSERT(span.iova % alignment == 0);
        RC_ASSERT(std::bit_cast<std::uintptr_t>(span.address) % alignment == 0);
        RC_ASSERT(span.iova - arena.span().iova ==
                  static_cast<std::size_t>(span.address - arena.span().address));
        RC_ASSERT(span.iova >= arena.span().iova);
        RC_ASSERT(span.iova + span.length <= arena.span().iova + arena.span().length);
        std::size_t used = 0;
        for (const DmaBuffer& other : buffers) {
            used += other.length();
            RC_ASSERT(&other == &buffers.back() || other.iova() + other.length() <= span.iova ||
                      span.iova + span.length <= other.iova());
        }
        RC_ASSERT(arena.free_bytes() == arena.span().length - used);
    }
    while (!buffers.empty())
        buffers.erase(buffers.begin() + *rc::gen::inRange<std::ptrdiff_t>(0, std::ssize(buffers)));
    RC_ASSERT(arena.allocate(arena.span().length, 1).length() == arena.span().length);
}

/// The fake IOMMU checks every mapping: inside its windows, apart from the others.
RC_GTEST_PROP(DmaArenaProperty, ForeignMemoryFillsTheWindowsWithoutOverlap, ()) {
    FakeBackend backend;
    backend.windows.clear();
    std::uint64_t first = *rc::gen::inRange<std::uint64_t>(0, 3) * 4096;
    for (int i = *rc::gen::inRange(1, 4); i > 0; --i) {
        const std::uint64_t size = *rc::gen::inRange<std::uint64_t>(1, 64) * 4096;
        backend.windows.push_back({.first = first, .last = first + size - 1});
        first += size + *rc::gen::inRange<std::uint64_t>(0, 16) * 4096;
    }
    backend.windows.push_back({.first = 8 * mib, .last = 16 * mib - 1});
    DmaArena arena(backend, {.size = 64 * kib});
    const Pages pages(128 * kib);
    std::vector<DmaBuffer> buffers;
    for (int step = *rc::gen::inRange(0, 60); step > 0; --step) {
        if (*rc::gen::inRange(0, 3) == 0 && !buffers.empty())
            buffers.erase(buffers.begin() + *rc::gen::inRange<std::ptrdiff_t>(0, std::ssize(buffers)));
        else
            buffers.push_back(
                arena.register_memory(pages.memory().first(*rc::gen::inRange<std::size_t>(1, 33) * 4096)));
    }
    RC_ASSERT(backend.mappings.size() == buffers.size() + 1);
    buffers.clear();
    RC_ASSERT(backend.mappings.size() == 1U);
}

TEST(DmaPool, GivesEachBlockOnce) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 64 * kib});
    DmaPool pool(arena, 100, 5, 64);
    std::set<std::uint64_t> iovas;
    for (int i = 0; i < 5; ++i) {
        const DmaSpan block = pool.take();
        EXPECT_EQ(block.length, 100U);
        EXPECT_EQ(block.iova % 64, 0U);
        iovas.insert(block.iova);
    }
    EXPECT_EQ(iovas.size(), 5U);
    EXPECT_EQ(pool.take().length, 0U);
    pool.give(pool[3]);
    EXPECT_EQ(pool.take().iova, pool[3].iova);
    EXPECT_EQ(pool.take().length, 0U);
}

TEST(DmaPool, StartsWithItsFirstBlock) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 64 * kib});
    DmaPool pool(arena, 4096, 3, 4096);
    EXPECT_EQ(pool.take().iova, pool[0].iova);
    EXPECT_EQ(pool[1].iova, pool[0].iova + 4096);
    EXPECT_EQ(pool.size(), 3U);
}

TEST(DmaPool, GivesItsMemoryBack) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 64 * kib});
    {
        const DmaPool pool(arena, 4096, 16, 4096);
    }
    EXPECT_EQ(arena.free_bytes(), 64 * kib);
}

TEST(DmaPool, TooManyBlocksIsAnError) {
    FakeBackend backend;
    DmaArena arena(backend, {.size = 64 * kib});
    const auto error = test::error_of([&] { DmaPool(arena, 4096, std::size_t{1} << 60, 4096); });
    EXPECT_THAT(error.what(), HasSubstr("are too many"));
    EXPECT_THROW(DmaPool(arena, 4096, 17, 4096), Error);
}

}  // namespace
}  // namespace outboard
