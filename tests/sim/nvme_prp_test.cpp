// Where the data of a command lies: PRP entries and lists, their offsets, and what is wrong with them.
#include "outboard/base/fd.hpp"
#include "outboard/sim/models/nvme/prp.hpp"

#include <array>
#include <cstring>
#include <span>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace outboard::sim::nvme {
namespace {

using testing::ElementsAre;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t lists = 0x100000;  ///< IOVA of the memory that lists lie in
constexpr std::uint64_t lists_size = 64 * page;

class PrpTest : public testing::Test {
  protected:
    PrpTest() : file_(::memfd_create("lists", MFD_CLOEXEC)) {
        EXPECT_EQ(::ftruncate(file_.get(), lists_size), 0);
        EXPECT_EQ(dma_.add(lists, lists_size, {.readable = true, .writable = true}, file_, 0), 0);
        dma_.set_bus_master(true);
    }

    void put(std::uint64_t iova, const std::vector<std::uint64_t>& entries) {
        EXPECT_TRUE(dma_.write(iova, std::as_bytes(std::span(entries))));
    }
    StatusCode find(std::uint64_t prp1, std::uint64_t prp2, std::uint64_t bytes,
                    std::uint64_t page_size = page) {
        return find_segments(dma_, page_size, prp1, prp2, bytes, segments_);
    }

    Fd file_;
    FaultInjector faults_;
    DmaMemory dma_{faults_};
    std::vector<Segment> segments_;
};

TEST_F(PrpTest, OnePage) {
    EXPECT_EQ(find(0x5000, 0, page), StatusCode::success);
    EXPECT_THAT(segments_, ElementsAre(Segment{0x5000, page}));
    EXPECT_EQ(find(0x5004, ~0ULL, 512), StatusCode::success) << "the second one is not looked at";
    EXPECT_THAT(segments_, ElementsAre(Segment{0x5004, 512}));
    EXPECT_EQ(find(0x5000 + page - 4, 0, 4), StatusCode::success);
    EXPECT_THAT(segments_, ElementsAre(Segment{0x5ffc, 4}));
}

TEST_F(PrpTest, TwoPages) {
    EXPECT_EQ(find(0x5e00, 0x9000, page), StatusCode::success);
    EXPECT_THAT(segments_, ElementsAre(Segment{0x5e00, 0x200}, Segment{0x9000, 0xe00}));
    EXPECT_EQ(find(0x5000, 0x9000, 2 * page), StatusCode::success);
    EXPECT_THAT(segments_, ElementsAre(Segment{0x5000, page}, Segment{0x9000, page}));
    EXPECT_EQ(find(0x5000, 0x6000, 2 * page), StatusCode::success);
    EXPECT_THAT(segments_, ElementsAre(Segment{0x5000, 2 * page})) << "neighbours are one";
}

TEST_F(PrpTest, OffsetsThatAreWrong) {
    EXPECT_EQ(find(0x5002, 0, 512), StatusCode::invalid_prp_offset);
    EXPECT_EQ(find(0x5001, 0, 512), StatusCode::invalid_prp_offset);
    EXPECT_EQ(find(0x5e00, 0x9004, page), StatusCode::invalid_prp_offset);
    EXPECT_EQ(find(0x5e00, 0x9800, page), StatusCode::invalid_prp_offset);
    EXPECT_EQ(find(0x5000, lists + 4, 3 * page), StatusCode::invalid_prp_offset)
        << "a list starts at a quadword";
    put(lists, {0x9000, 0xb200});
    EXPECT_EQ(find(0x5000, lists, 3 * page), StatusCode::invalid_prp_offset);
}

TEST_F(PrpTest, AList) {
    put(lists, {0x9000, 0x7000, 0x8000});
    EXPECT_EQ(find(0x5800, lists, 3 * page), StatusCode::success);
    EXPECT_THAT(segments_,
                ElementsAre(Segment{0x5800, 0x800}, Segment{0x9000, page}, Segment{0x7000, page + 0x800}));
}

TEST_F(PrpTest, AListThatStartsInsideItsPage) {
    put(lists + 0xff0, {0x9000, 0xb000});
    EXPECT_EQ(find(0x5000, lists + 0xff0, 3 * page), StatusCode::success) << "it ends where its page does";
    EXPECT_THAT(segments_, ElementsAre(Segment{0x5000, page}, Segment{0x9000, page}, Segment{0xb000, page}));

    put(lists + 0xff0, {0x9000, lists + 0x2000});
    put(lists + 0x2000, {0xb000, 0xd000});
    EXPECT_EQ(find(0x5000, lists + 0xff0, 4 * page), StatusCode::success) << "the last entry leads on";
    EXPECT_THAT(segments_, ElementsAre(Segment{0x5000, page}, Segment{0x9000, page}, Segment{0xb000, page},
                                       Segment{0xd000, page}));

    put(lists + 0xff8, {lists + 0x2000});
    EXPECT_EQ(find(0x5000, lists + 0xff8, 3 * page), StatusCode::success) << "nothing but the way on";
    EXPECT_THAT(segments_, ElementsAre(Segment{0x5000, page}, Segment{0xb000, page}, Segment{0xd000, page}));

    put(lists + 0xff8, {lists + 0x2008});
    EXPECT_EQ(find(0x5000, lists + 0xff8, 3 * page), StatusCode::invalid_prp_offset);
}

TEST_F(PrpTest, ListsOfSeveralPages) {
    // 1 + 511 + 511 + 2 pages.
    std::vector<std::uint64_t> entries(512);
    for (unsigned i = 0; i < 512; ++i)
        entries[i] = 0x1000000 + i * 2 * page;
    entries[511] = lists + page;
    put(lists, entries);
    entries[511] = lists + 2 * page;
    put(lists + page, entries);
    put(lists + 2 * page, {0x9000, 0xb000});
    EXPECT_EQ(find(0x5000, lists, 1025 * page), StatusCode::success);
    EXPECT_EQ(segments_.size(), 1025U);
    EXPECT_EQ(segments_[511], (Segment{0x1000000 + 510 * 2 * page, page}));
    EXPECT_EQ(segments_[512], (Segment{0x1000000, page}));
    EXPECT_EQ(segments_.back(), (Segment{0xb000, page}));
    // Exactly as many as the last page holds: its last entry is one of data.
    entries[511] = 0xf000;
    put(lists + page, entries);
    EXPECT_EQ(find(0x5000, lists, 1024 * page), StatusCode::success);
    EXPECT_EQ(segments_.size(), 1024U);
    EXPECT_EQ(segments_.back(), (Segment{0xf000, page}));
}

TEST_F(PrpTest, LargePages) {
    constexpr std::uint64_t large = 65536;
    EXPECT_EQ(find(0x10000 + 0x8000, 0x40000, large, large), StatusCode::success);
    EXPECT_THAT(segments_, ElementsAre(Segment{0x18000, 0x8000}, Segment{0x40000, 0x8000}));
    EXPECT_EQ(find(0x18000, 0x41000, large, large), StatusCode::invalid_prp_offset);
}

TEST_F(PrpTest, AListThatIsNotMapped) {
    EXPECT_EQ(find(0x5000, 0x10000, 3 * page), StatusCode::data_transfer_error);
    put(lists + 0xff8, {0xdead0000});
    EXPECT_EQ(find(0x5000, lists + 0xff8, 3 * page), StatusCode::data_transfer_error);
    EXPECT_EQ(find(0x5000, ~0ULL - 7, 3 * page), StatusCode::data_transfer_error);
    EXPECT_EQ(dma_.counts().read_faults, 3U);
}

TEST_F(PrpTest, AListThatLeadsToItself) {
    std::vector<std::uint64_t> entries(512, lists);
    put(lists, entries);
    EXPECT_EQ(find(0x5000, lists, 1500 * page), StatusCode::success) << "it ends with the data";
}

}  // namespace
}  // namespace outboard::sim::nvme
