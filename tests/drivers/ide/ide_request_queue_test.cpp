// Order and merging: requests leave in the order in which they came, but for neighbours that join the oldest
// one without overtaking anything they depend on.
#include "outboard/drivers/ide/request_queue.hpp"

#include <algorithm>
#include <deque>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard::ide {
namespace {

constexpr BatchLimits limits{.bytes = 1 << 20, .prd_entries = 512};

class Requests {
  public:
    BlockRequest& add(BlockOperation operation, std::uint64_t offset, std::uint64_t length,
                      bool fua = false) {
        Owned& owned = owned_.emplace_back();
        owned.data = {.address = nullptr, .iova = 0x100000 + offset, .length = length};
        owned.request.operation = operation;
        owned.request.offset = offset;
        owned.request.length = length;
        owned.request.force_unit_access = fua;
        if (length > 0)
            owned.request.data = {&owned.data, 1};
        queue.push(owned.request);
        return owned.request;
    }
    BlockRequest& read(std::uint64_t offset, std::uint64_t length = 512) {
        return add(BlockOperation::read, offset, length);
    }
    BlockRequest& write(std::uint64_t offset, std::uint64_t length = 512) {
        return add(BlockOperation::write, offset, length);
    }

    RequestQueue queue;

  private:
    struct Owned {
        BlockRequest request;
        DmaSpan data;
    };
    std::deque<Owned> owned_;
};

std::vector<const BlockRequest*> members(const Batch& batch) {
    std::vector<const BlockRequest*> result;
    for (const BlockRequest* request = batch.requests.first; request; request = request->next)
        result.push_back(request);
    EXPECT_EQ(result.size(), batch.parts);
    return result;
}

using List = std::vector<const BlockRequest*>;

TEST(RequestQueue, NeighboursOfTheSameKindGoTogether) {
    Requests requests;
    const auto& a = requests.read(0);
    const auto& b = requests.read(512);
    const auto& c = requests.read(1024, 4096);
    const Batch batch = requests.queue.take(limits);
    EXPECT_EQ(members(batch), (List{&a, &b, &c}));
    EXPECT_EQ(batch.offset, 0U);
    EXPECT_EQ(batch.length, 5120U);
    EXPECT_TRUE(requests.queue.empty());
    EXPECT_TRUE(requests.queue.take(limits).empty());
}

TEST(RequestQueue, OthersKeepTheirPlace) {
    Requests requests;
    const auto& a = requests.read(0);
    const auto& far = requests.read(1 << 20);
    const auto& other_kind = requests.write(8192);
    const auto& b = requests.read(512);
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&a, &b}));
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&far}));
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&other_kind}));
    EXPECT_TRUE(requests.queue.empty());
}

TEST(RequestQueue, TheLastCanBeTakenOutAndMoreAdded) {
    Requests requests;
    const auto& a = requests.read(0);
    const auto& far = requests.read(1 << 20);
    const auto& b = requests.read(512);
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&a, &b}));
    const auto& c = requests.read(2 << 20);
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&far}));
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&c}));
}

TEST(RequestQueue, NothingPassesAFlushOrAForcedWrite) {
    Requests requests;
    const auto& a = requests.write(0);
    const auto& flush = requests.add(BlockOperation::flush, 0, 0);
    const auto& b = requests.write(512);
    const auto& forced = requests.add(BlockOperation::write, 1024, 512, true);
    const auto& c = requests.write(1536);
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&a}));
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&flush}));
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&b}));
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&forced}));
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&c}));
}

TEST(RequestQueue, AnOverlappingRequestIsNotPassed) {
    Requests requests;
    const auto& a = requests.write(0);
    const auto& reader = requests.read(512);
    const auto& b = requests.write(512);
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&a}));
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&reader}));
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&b}));
}

TEST(RequestQueue, LimitsAreKept) {
    Requests requests;
    const auto& a = requests.read(0, 4096);
    const auto& b = requests.read(4096, 4096);
    const auto& c = requests.read(8192, 4096);
    EXPECT_EQ(members(requests.queue.take({.bytes = 8192, .prd_entries = 512})), (List{&a, &b}));
    EXPECT_EQ(members(requests.queue.take({.bytes = 8192, .prd_entries = 512})), (List{&c}));
    const auto& d = requests.read(0, 4096);
    const auto& e = requests.read(4096, 4096);
    EXPECT_EQ(members(requests.queue.take({.bytes = 1 << 20, .prd_entries = 1})), (List{&d}));
    EXPECT_EQ(members(requests.queue.take({.bytes = 1 << 20, .prd_entries = 1})), (List{&e}));
}

TEST(RequestQueue, ASplitBatchIsTakenOneByOneBeforeTheRest) {
    Requests requests;
    const auto& a = requests.read(0);
    const auto& b = requests.read(512);
    Batch batch = requests.queue.take(limits);
    const auto& later = requests.read(1024);
    requests.queue.split(batch);
    Batch first = requests.queue.take(limits);
    EXPECT_EQ(members(first), (List{&a}));
    EXPECT_EQ(first.attempt, 0U);
    requests.queue.retry(first);
    first = requests.queue.take(limits);
    EXPECT_EQ(members(first), (List{&a}));
    EXPECT_EQ(first.attempt, 1U);
    const Batch second = requests.queue.take(limits);
    EXPECT_EQ(members(second), (List{&b}));
    EXPECT_EQ(second.attempt, 0U);
    EXPECT_EQ(members(requests.queue.take(limits)), (List{&later}));
}

TEST(RequestQueue, GivesEverythingBackInOrder) {
    Requests requests;
    const auto& a = requests.read(0);
    Batch batch = requests.queue.take(limits);
    const auto& b = requests.read(512);
    requests.queue.retry(batch);
    RequestChain all = requests.queue.take_all();
    EXPECT_EQ(all.pop_front(), &a);
    EXPECT_EQ(all.pop_front(), &b);
    EXPECT_EQ(all.pop_front(), nullptr);
    EXPECT_TRUE(requests.queue.empty());
}

bool overlap(const BlockRequest& a, const BlockRequest& b) {
    return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}

RC_GTEST_PROP(RequestQueueProperty, NoRequestOvertakesWhatItDependsOn, ()) {
    Requests requests;
    std::vector<const BlockRequest*> arrival;
    const auto count = *rc::gen::inRange(1, 60);
    for (int i = 0; i < count; ++i) {
        const auto kind = *rc::gen::inRange(0, 20);
        const std::uint64_t offset = 512 * *rc::gen::inRange<std::uint64_t>(0, 12);
        const std::uint64_t length = 512 * *rc::gen::inRange<std::uint64_t>(1, 4);
        if (kind == 0)
            arrival.push_back(&requests.add(BlockOperation::flush, 0, 0));
        else
            arrival.push_back(&requests.add(kind < 10 ? BlockOperation::read : BlockOperation::write, offset,
                                            length, kind == 10));
    }
    std::vector<const BlockRequest*> service;
    while (!requests.queue.empty()) {
        const Batch batch = requests.queue.take(limits);
        std::uint64_t end = batch.offset;
        for (const BlockRequest* request : members(batch)) {
            service.push_back(request);
            RC_ASSERT(request->operation == batch.operation());
            RC_ASSERT(batch.parts == 1U || request->offset == end);
            end += request->length;
        }
    }
    RC_ASSERT(service.size() == arrival.size());
    const auto position = [&](const BlockRequest* request) {
        return std::ranges::find(service, request) - service.begin();
    };
    for (std::size_t i = 0; i < arrival.size(); ++i) {
        for (std::size_t j = i + 1; j < arrival.size(); ++j) {
            const BlockRequest& first = *arrival[i];
            const BlockRequest& second = *arrival[j];
            const bool ordered =
                first.operation == BlockOperation::flush || second.operation == BlockOperation::flush ||
                first.force_unit_access || second.force_unit_access ||
                (overlap(first, second) &&
                 (first.operation == BlockOperation::write || second.operation == BlockOperation::write));
            if (ordered)
                RC_ASSERT(position(&first) < position(&second));
        }
    }
}

}  // namespace
}  // namespace outboard::ide
