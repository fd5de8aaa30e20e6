#include "outboard/runtime/ring_stock.hpp"

#include "outboard/base/fd.hpp"
#include "outboard/runtime/event_watch.hpp"
#include "outboard/runtime/loop_thread.hpp"
#include "outboard/runtime/provided_buffers.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>

#include "tests/support/expect_error.hpp"
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

template <class Fill>
Task<int> result_of(RunLoop& loop, Fill fill) {
    const int result = co_await loop.submit(fill);
    co_return result;
}

Task<int> what_a_driver_does(RunLoop& loop) {
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    ::eventfd_write(event.get(), 3);
    std::uint64_t count = 0;
    const int read = co_await loop.event(event.get(), count);
    EXPECT_EQ(read, 8);
    EXPECT_EQ(count, 3U);
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    const Fd reader(ends[0]);
    const Fd writer(ends[1]);
    constexpr std::array byte{std::byte{'x'}};
    const int written = co_await loop.write(writer.get(), byte);
    EXPECT_EQ(written, 1);
    const int events = co_await loop.poll(reader.get(), POLLIN);
    EXPECT_EQ(events, POLLIN);
    const int slept = co_await loop.sleep_for(1ms);
    EXPECT_EQ(slept, 0);
    EventWatch watch(loop, event.get());
    ::eventfd_write(event.get(), 1);
    const int watched = co_await watch.next();
    EXPECT_EQ(watched, 0);
    co_return 1;
}

TEST(RingStock, CarriesALoop) {
    RingStock stock(1);
    RunLoop loop({.stock = &stock});
    EXPECT_EQ(stock.left(), 0U);
    EXPECT_EQ(loop.run(what_a_driver_does(loop)), 1);
    loop.stop();
    loop.run();
}

TEST(RingStock, CarriesALoopOfAnotherThread) {
    RingStock stock(2);
    int done = 0;
    const auto body = [&](RunLoop& loop) -> Task<void> {
        Task<int> work = what_a_driver_does(loop);
        done = co_await std::move(work);
    };
    const Fd ended(::eventfd(0, EFD_CLOEXEC));
    LoopThread thread(body, {.name = "other", .loop = {.stock = &stock}, .at_end = [&] {
                                 ::eventfd_write(ended.get(), 1);
                             }});
    std::uint64_t count = 0;
    EXPECT_EQ(::eventfd_read(ended.get(), &count), 0);
    thread.take_result();
    EXPECT_EQ(done, 1);
}

TEST(RingStock, RunsOut) {
    RingStock stock(1);
    const RunLoop loop({.stock = &stock});
    EXPECT_ERROR(RunLoop({.stock = &stock}), ErrorKind::failed,
                 "cannot take an io_uring of those made ahead: none is left; make as many as there will be "
                 "run loops");
}

TEST(RingStock, RefusesWhatMakesOrOpens) {
    RingStock stock(1);
    RunLoop loop({.stock = &stock});
    const auto refusal_of = [&](std::uint8_t opcode) {
        return loop.run(result_of(loop, [&](io_uring_sqe* entry) {
            entry->opcode = opcode;
            entry->fd = AT_FDCWD;
            entry->addr = reinterpret_cast<std::uintptr_t>("/etc/hostname");
        }));
    };
    for (unsigned opcode = 0; opcode < 256; ++opcode) {
        const bool allowed = opcode == IORING_OP_POLL_ADD || opcode == IORING_OP_READ ||
                             opcode == IORING_OP_WRITE || opcode == IORING_OP_TIMEOUT ||
                             opcode == IORING_OP_ASYNC_CANCEL || opcode == IORING_OP_URING_CMD;
        if (allowed)
            continue;
        const int result = refusal_of(static_cast<std::uint8_t>(opcode));
        // What this kernel does not know at all is invalid before it is forbidden.
        EXPECT_THAT(result, testing::AnyOf(-EACCES, -EINVAL)) << opcode;
        if (opcode == IORING_OP_OPENAT || opcode == IORING_OP_SOCKET || opcode == IORING_OP_CONNECT) {
            EXPECT_EQ(result, -EACCES) << opcode;
        }
    }
}

TEST(RingStock, RefusesRegistrations) {
    RingStock stock(1);
    RunLoop loop({.stock = &stock});
    EXPECT_EQ(test::error_of([&] { loop.event_fd(); }).kind(), ErrorKind::not_permitted);
    EXPECT_EQ(test::error_of([&] { ProvidedBuffers(loop, 2, 64); }).kind(), ErrorKind::not_permitted);
}

TEST(RingStock, HasProvidedBuffersWhereAsked) {
    RingStock stock(1, {.provided_buffers = true});
    RunLoop loop({.stock = &stock});
    const ProvidedBuffers buffers(loop, 2, 64);
}

}  // namespace
}  // namespace outboard
