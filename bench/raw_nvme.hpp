// The simulated NVMe controller with nothing behind it, and raw queues to it: no driver, so that a benchmark
// can tell what the device costs and what a driver adds.
#pragma once

#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"
#include "outboard/runtime/clock.hpp"
#include "outboard/runtime/pin_thread.hpp"
#include "outboard/sim/models/nvme/controller.hpp"
#include "outboard/sim/server.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include <fmt/format.h>

namespace outboard::bench {

/// The controller, served on a processor of its own.
class NullController {
  public:
    NullController(const std::string& socket, unsigned processor)
        : model_({.namespaces = {{.kind = sim::StorageOptions::Kind::null,
                                  .size = std::uint64_t{1} << 40,
                                  .block_size = 4096}},
                  .shadow_doorbells = false}),
          server_(model_, {.socket = socket, .log = {}}),
          thread_([this, processor] {
              pin_thread(processor);
              server_.serve();
          }) {}
    ~NullController() {
        server_.stop();
        thread_.join();
    }
    NullController(const NullController&) = delete;
    NullController& operator=(const NullController&) = delete;
    NullController(NullController&&) = delete;
    NullController& operator=(NullController&&) = delete;

  private:
    sim::nvme::Controller model_;
    sim::Server server_;
    std::thread thread_;
};

/// A submission queue entry as 16 doublewords, a completion as 4.
using Entry = std::array<std::uint32_t, 16>;
using Answer = std::array<std::uint32_t, 4>;

/// A queue pair: memory of the arena and two doorbells.
class RawQueue {
  public:
    RawQueue(DmaArena& arena, unsigned id, unsigned entries, std::byte* doorbells)
        : submission_(arena.allocate(std::size_t{64} * entries, 4096)),
          completion_(arena.allocate(std::size_t{16} * entries, 4096)),
          entries_(entries),
          tail_doorbell_(reinterpret_cast<std::uint32_t*>(doorbells) + std::size_t{2} * id),
          head_doorbell_(tail_doorbell_ + 1) {}

    std::uint64_t submission_iova() const { return submission_.iova(); }
    std::uint64_t completion_iova() const { return completion_.iova(); }

    void put(const Entry& entry) {
        std::memcpy(submission_.address() + std::size_t{64} * tail_, &entry, sizeof entry);
        tail_ = tail_ + 1 == entries_ ? 0 : tail_ + 1;
    }
    void ring() { std::atomic_ref(*tail_doorbell_).store(tail_, std::memory_order_release); }

    /// Takes at most `most` completions and calls `take` with the identifier of each. Throws when one of them
    /// is no success.
    template <class Take>
    unsigned reap(unsigned most, Take&& take) {
        unsigned taken = 0;
        while (taken < most) {
            auto& last = completion_.as<Answer>()[head_][3];
            const std::uint32_t word = std::atomic_ref(last).load(std::memory_order_acquire);
            if ((word >> 16 & 1) != phase_)
                break;
            if (word >> 17 != 0)
                throw Error({.kind = ErrorKind::io,
                             .action = "read from",
                             .subject = "the simulated controller",
                             .cause = fmt::format("status {:#x}", word >> 17),
                             .remedy = ""});
            take(static_cast<std::uint16_t>(word));
            if (++head_ == entries_) {
                head_ = 0;
                phase_ ^= 1;
            }
            ++taken;
        }
        if (taken != 0)
            std::atomic_ref(*head_doorbell_).store(head_, std::memory_order_release);
        return taken;
    }

    unsigned reap(unsigned most) {
        return reap(most, [](std::uint16_t) {});
    }

    /// Runs one command to its end.
    void run(const Entry& entry) {
        put(entry);
        ring();
        for (const TimePoint deadline = Clock::now() + std::chrono::seconds(5); reap(1) == 0;)
            if (Clock::now() > deadline)
                throw Error({.kind = ErrorKind::timed_out,
                             .action = "set up",
                             .subject = "the simulated controller",
                             .cause = "no answer within 5 s",
                             .remedy = ""});
    }

  private:
    DmaBuffer submission_;
    DmaBuffer completion_;
    unsigned entries_;
    std::uint32_t* tail_doorbell_;
    std::uint32_t* head_doorbell_;
    unsigned tail_ = 0;
    unsigned head_ = 0;
    std::uint32_t phase_ = 1;
};

inline Entry command(std::uint8_t opcode, std::uint64_t prp1, std::uint32_t dword10, std::uint32_t dword11) {
    Entry entry{};
    entry[0] = opcode;
    entry[6] = static_cast<std::uint32_t>(prp1);
    entry[7] = static_cast<std::uint32_t>(prp1 >> 32);
    entry[10] = dword10;
    entry[11] = dword11;
    return entry;
}

/// Enables the controller and makes one queue pair.
class RawClient {
  public:
    RawClient(const std::string& socket, unsigned entries)
        : device_(Device::open("vfio-user:" + socket)),
          arena_(device_->create_arena({.size = std::size_t{16} << 20})),
          registers_(device_->region(RegionIndex::bar0)),
          doorbells_(
              device_->backend().map_region(RegionIndex::bar0, {.offset = 0x1000, .size = 4096}).data()),
          admin_(arena_, 0, admin_entries, doorbells_),
          queue_(arena_, 1, entries, doorbells_),
          data_(arena_.allocate(std::size_t{4096} * entries, 4096)) {
        device_->set_bus_master(true);
        registers_.store<std::uint32_t>(0x14, 0);  // off: it lives on between clients
        registers_.store<std::uint32_t>(0x24, 0x000f000f);
        registers_.store<std::uint64_t>(0x28, admin_.submission_iova());
        registers_.store<std::uint64_t>(0x30, admin_.completion_iova());
        registers_.store<std::uint32_t>(0x14, 0x00460001);
        if (registers_.load<std::uint32_t>(0x1c) != 1)
            throw Error({.kind = ErrorKind::io,
                         .action = "enable",
                         .subject = "the simulated controller",
                         .cause = "it is not ready",
                         .remedy = ""});
        const std::uint32_t size = (entries - 1) << 16;
        admin_.run(command(0x05, queue_.completion_iova(), size | 1, 1));
        admin_.run(command(0x01, queue_.submission_iova(), size | 1, 1U << 16 | 1));
    }

    RawQueue& queue() noexcept { return queue_; }
    /// IOVA of 4096 bytes for each entry of the queue, one after the other.
    std::uint64_t data() const noexcept { return data_.iova(); }

  private:
    static constexpr std::uint16_t admin_entries = 16;

    std::unique_ptr<Device> device_;
    DmaArena& arena_;
    Region registers_;
    std::byte* doorbells_;
    RawQueue admin_;
    RawQueue queue_;
    DmaBuffer data_;
};

}  // namespace outboard::bench
