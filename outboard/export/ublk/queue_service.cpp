#include "outboard/export/ublk/queue_service.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"

#include <cerrno>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <sys/eventfd.h>

namespace outboard::ublk {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t page_bytes = 4096;

}  // namespace

void QueueService::EndQueue::operator()(ServingQueue* queue) const noexcept {
    if (queue->retired()) {
        delete queue;
        return;
    }
    queue->leave();
    service->left_.store(true);
}

QueueService::QueueService(RunLoop& home, BlockDevice& disk, Setup setup)
    : home_(home),
      disk_(disk),
      setup_(std::move(setup)),
      buffers_(disk.arena(), setup_.info.max_io_bytes, setup_.info.queue_depth, page_bytes, DmaContent::any),
      bell_(::eventfd(0, EFD_CLOEXEC)),
      answer_(::eventfd(0, EFD_CLOEXEC)) {
    if (!bell_ || !answer_)
        throw_errno(errno, "make", "an eventfd for a queue of a ublk device");
}

void QueueService::start(bool on_own_thread) {
    if (!on_own_thread) {
        task_ = serve_here();
        task_.start();
        return;
    }
    const auto body = [this](RunLoop& loop) {
        if (setup_.prepare_thread)
            setup_.prepare_thread();
        return serve(loop);
    };
    thread_.emplace(
        body, LoopThreadOptions{.name = fmt::format("ublk{} queue {}", setup_.info.device_id, setup_.number),
                                .loop = {.stock = setup_.rings},
                                .at_end = [this] { ended(); }});
}

Task<void> QueueService::serve(RunLoop& loop) {
    const std::unique_ptr<ServingQueue, EndQueue> queue(
        new ServingQueue(loop, disk_, buffers_,
                         {.file = setup_.file,
                          .info = setup_.info,
                          .number = setup_.number,
                          .stable_writes = setup_.stable_writes,
                          .refused = [this](int error) { refused(error); }}),
        EndQueue{this});
    Task<void> answering = answer_bell(loop);
    answering.start();
    queue->fetch_all();
    // Refusals come in the turn that submits; without this look the start of the device would wait for tags
    // that never come.
    co_await loop.sleep_for(1ms);
    if (error_.load() == 0)
        fetched_.store(true);
    Task<void> retirement = queue->retirement();
    co_await std::move(retirement);
}

Task<void> QueueService::answer_bell(RunLoop& loop) {
    for (;;) {
        std::uint64_t count = 0;
        const int result = co_await loop.event(bell_.get(), count);
        if (result < 0)
            throw_errno(-result, "wait for", "the bell of a queue of a ublk device");
        ::eventfd_write(answer_.get(), 1);
    }
}

Task<void> QueueService::turn() {
    if (ended_.load())
        co_return;
    ::eventfd_write(bell_.get(), 1);
    std::uint64_t count = 0;
    const int result = co_await home_.event(answer_.get(), count);
    if (result < 0)
        throw_errno(-result, "wait for", "a turn of a queue of a ublk device");
}

Task<void> QueueService::serve_here() {
    try {
        Task<void> serving = serve(home_);
        co_await std::move(serving);
    } catch (...) {
        failure_ = std::current_exception();
    }
    ended();
}

void QueueService::refused(int error) noexcept {
    int none = 0;
    error_.compare_exchange_strong(none, error);
    if (fetched_.load() && !end_expected_.load())
        home_.stop();
}

void QueueService::ended() noexcept {
    ended_.store(true);
    ::eventfd_write(answer_.get(), 1);
    if (fetched_.load() && !end_expected_.load())
        home_.stop();
}

Task<void> QueueService::settled() {
    const std::string what = fmt::format("queue {} of {} to be served", setup_.number, setup_.path);
    const auto is_settled = [this] { return fetched_.load() || ended_.load() || error_.load() != 0; };
    Task<void> waiting = wait_until(home_, is_settled, 10s, 1ms, what);
    co_await std::move(waiting);
}

void QueueService::require_intact() {
    if (const int error = error_.load(); error != 0)
        throw_errno(error, "serve", setup_.path);
    if (ended_.load())
        take_result();
}

void QueueService::take_result() {
    if (thread_)
        thread_->take_result();
    if (failure_)
        std::rethrow_exception(failure_);
}

Task<void> QueueService::end() {
    const std::string what =
        fmt::format("the end of all requests of {}, queue {}", setup_.path, setup_.number);
    Task<void> waiting = wait_until(home_, [this] { return ended_.load(); }, 10s, 1ms, what);
    co_await std::move(waiting);
    if (fetched_.load())
        take_result();
}

void QueueService::abandon(std::unique_ptr<QueueService> service) noexcept {
    service->expect_end();
    service->thread_.reset();
    service->task_ = {};
    if (service->left_.load())
        // Its buffers and its queue stay, for the kernel and the disk still use them.
        [[maybe_unused]]
        const QueueService* const left = service.release();
}

}  // namespace outboard::ublk
