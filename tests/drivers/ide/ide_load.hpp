// What the tests of the IDE driver share, wherever they run: a controller under our driver for a while, and a
// load that checks what it reads.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/device/device.hpp"
#include "outboard/drivers/ide/ide.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/drivers/ide/ide_place.hpp"
#include "tests/support/block_pattern.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace outboard::test {

/// The controller under our driver. What its place complains of is a failure.
class Ours {
  public:
    static constexpr std::size_t memory_size = 48U << 20;

    explicit Ours(DriverOptions options = {}) {
        options.report = [this](std::string_view text) { told.emplace_back(text); };
        device_ = place->open();
        device_->create_arena({.size = ide::description.dma_bytes + memory_size, .address_bits = 32});
        memory_ = device_->arena().allocate(memory_size, 4096);
        driver_ = loop.run(ide::description.start(*device_, loop, std::move(options)));
    }
    Ours(const Ours&) = delete;
    Ours& operator=(const Ours&) = delete;
    Ours(Ours&&) = delete;
    Ours& operator=(Ours&&) = delete;
    ~Ours() {
        queue.reset();
        try {
            loop.run(driver_->shut_down());
        } catch (const std::exception& error) {
            ADD_FAILURE() << error.what();
        }
        memory_ = {};
        driver_.reset();
        device_.reset();
        EXPECT_EQ(place->complaints(), "");
    }

    std::vector<BlockDevice*> disks() { return driver_->block_devices(); }
    BlockDevice& disk(std::string_view serial) {
        for (BlockDevice* disk : disks()) {
            if (disk->info().serial == serial)
                return *disk;
        }
        throw std::runtime_error(fmt::format("no disk has the serial number {}", serial));
    }
    void open(std::string_view serial) {
        queue.reset();
        queue = disk(serial).open_queue(loop);
    }
    DmaSpan memory(std::size_t offset, std::size_t size) const { return memory_.span().part(offset, size); }

    /// Submits the requests together, waits for all.
    void run(std::span<BlockRequest* const> requests) {
        EXPECT_EQ(queue->submit(requests), requests.size());
        std::vector<BlockRequest*> finished(requests.size());
        const TimePoint limit = Clock::now() + std::chrono::seconds(120);
        for (std::size_t left = requests.size(); left > 0;) {
            left -= queue->reap(finished);
            if (Clock::now() > limit)
                throw std::runtime_error("requests were lost");
            if (left > 0)
                loop.turn(std::min(queue->next_reap(Clock::now()), limit));
        }
    }
    BlockStatus run(BlockOperation operation, std::uint64_t offset, const DmaSpan& data, bool fua = false) {
        BlockRequest request;
        request.operation = operation;
        request.offset = offset;
        request.length = data.length;
        request.force_unit_access = fua;
        request.data = {&data, data.length > 0 ? 1U : 0U};
        BlockRequest* const one = &request;
        run({&one, 1});
        return request.status;
    }

    const std::string& name() const { return device_->name(); }

    std::vector<std::string> told;
    std::unique_ptr<IdePlace> place = make_ide_place();
    RunLoop loop;
    std::unique_ptr<BlockQueue> queue;

  private:
    std::unique_ptr<Device> device_;
    DmaBuffer memory_;
    std::unique_ptr<Driver> driver_;
};

/// Random reads and writes of random sizes in a window of a disk, for a time and until there were enough.
/// Every read is compared with what was written last.
class VerifyingLoad {
  public:
    struct Plan {
        std::uint64_t offset = 0;  ///< of the window
        std::uint64_t size = 0;
        std::size_t largest = 1U << 20;  ///< bytes of a request
        unsigned depth = 1;
        unsigned least = 50;  ///< reads, and writes
        unsigned flush_percent = 1;
    };

    VerifyingLoad(Ours& ours, const Plan& plan)
        : ours_(ours), plan_(plan), versions_(plan.size / 512), random_(plan.depth) {}

    void run() {
        clear_window();
        slots_.resize(plan_.depth);
        for (std::size_t i = 0; i < slots_.size(); ++i)
            slots_[i].memory = ours_.memory(i * plan_.largest, plan_.largest);
        const TimePoint end = Clock::now() + ours_.place->load_time();
        std::vector<BlockRequest*> finished(plan_.depth);
        std::size_t outstanding = 0;
        const auto goes_on = [&] {
            return Clock::now() < end || reads < plan_.least || writes < plan_.least;
        };
        while (outstanding > 0 || goes_on()) {
            std::vector<BlockRequest*> batch;
            for (Slot& slot : slots_) {
                if (!slot.busy && goes_on() && prepare(slot))
                    batch.push_back(&slot.request);
            }
            ASSERT_EQ(ours_.queue->submit(batch), batch.size());
            outstanding += batch.size();
            const std::size_t count = ours_.queue->reap(finished);
            outstanding -= count;
            for (BlockRequest* request : std::span(finished).first(count))
                check(*static_cast<Slot*>(request->owner));
            if (::testing::Test::HasFailure())
                return;
            if (count == 0)
                ours_.loop.turn(ours_.queue->next_reap(Clock::now()));
        }
    }
    /// Reads the whole window and compares it.
    void check_all() {
        for (std::uint64_t at = 0; at < plan_.size; at += plan_.largest) {
            const DmaSpan data = ours_.memory(0, plan_.largest);
            ASSERT_EQ(ours_.run(BlockOperation::read, plan_.offset + at, data), BlockStatus::ok);
            compare(data.bytes(), at);
        }
    }
    const Plan& plan() const { return plan_; }
    /// Compares bytes of the disk, read by whomever, from `at` in the window on.
    void compare(std::span<const std::byte> data, std::uint64_t at) const {
        for (std::uint64_t i = 0; i < data.size() / 512; ++i)
            ASSERT_TRUE(
                block_is(data.subspan(i * 512, 512), (plan_.offset + at) / 512 + i, versions_[at / 512 + i]))
                << "sector " << (plan_.offset + at) / 512 + i << " differs";
    }

    unsigned reads = 0;
    unsigned writes = 0;

  private:
    struct Slot {
        BlockRequest request;
        DmaSpan memory;
        std::array<DmaSpan, 3> segments;
        std::uint64_t first = 0;  ///< sector in the window
        std::uint64_t count = 0;
        bool busy = false;
    };

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    void clear_window() {
        const DmaSpan data = ours_.memory(0, plan_.largest);
        std::memset(data.address, 0, data.length);
        for (std::uint64_t at = 0; at < plan_.size; at += plan_.largest)
            ASSERT_EQ(ours_.run(BlockOperation::write, plan_.offset + at, data), BlockStatus::ok);
    }

    bool collides(std::uint64_t first, std::uint64_t count) const {
        return std::ranges::any_of(slots_, [&](const Slot& slot) {
            return slot.busy && first < slot.first + slot.count && slot.first < first + count;
        });
    }

    /// A request that touches nothing that is on its way: what it reads is then known.
    bool prepare(Slot& slot) {
        slot.request = {};
        slot.request.owner = &slot;
        if (below(100) < plan_.flush_percent) {
            slot.request.operation = BlockOperation::flush;
            slot.count = 0;
            slot.busy = true;
            return true;
        }
        // Half of the requests continue the one before, so that neighbours meet in the queue.
        const bool small = below(2) == 0;
        const std::uint64_t most = plan_.largest / 512;
        slot.count = 1 + below(small ? std::min<std::uint64_t>(8, most) : most);
        slot.first = below(2) == 0 ? next_ : below(versions_.size());
        if (slot.first + slot.count > versions_.size())
            slot.first = versions_.size() - slot.count;
        next_ = slot.first + slot.count;
        if (collides(slot.first, slot.count))
            return false;
        slot.busy = true;
        const bool write = below(2) == 0;
        slot.request.operation = write ? BlockOperation::write : BlockOperation::read;
        slot.request.force_unit_access = write && below(50) == 0;
        slot.request.offset = plan_.offset + slot.first * 512;
        slot.request.length = slot.count * 512;
        for (std::uint64_t i = 0; write && i < slot.count; ++i)
            fill_block(slot.memory.bytes().subspan(i * 512, 512), plan_.offset / 512 + slot.first + i,
                       ++versions_[slot.first + i]);
        slot.request.data = cut(slot);
        return true;
    }

    /// One to three segments that begin and end at any even address.
    std::span<const DmaSpan> cut(Slot& slot) {
        const std::size_t length = slot.count * 512;
        std::size_t from = 0;
        std::size_t segments = 0;
        for (; segments < 2 && below(2) == 0; ++segments) {
            const std::size_t size = 2 * (1 + below((length - from) / 4));
            slot.segments[segments] = slot.memory.part(from, size);
            from += size;
        }
        slot.segments[segments++] = slot.memory.part(from, length - from);
        return std::span(slot.segments).first(segments);
    }

    void check(Slot& slot) {
        slot.busy = false;
        ASSERT_EQ(slot.request.status, BlockStatus::ok)
            << to_string(slot.request.status) << " at " << slot.request.offset << " of "
            << slot.request.length;
        if (slot.request.operation == BlockOperation::read) {
            ++reads;
            compare(slot.memory.bytes().first(slot.count * 512), slot.first * 512);
        } else {
            ++writes;
        }
    }

    Ours& ours_;
    Plan plan_;
    std::vector<std::uint32_t> versions_;
    std::mt19937_64 random_;
    std::vector<Slot> slots_;
    std::uint64_t next_ = 0;
};

}  // namespace outboard::test
