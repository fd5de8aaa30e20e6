#include "outboard/host/drain_disks.hpp"

#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/usage.hpp"
#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/runtime/deadline.hpp"

#include <cerrno>
#include <cstdint>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

using Report = std::function<void(std::string_view)>;

Task<int> fired(RunLoop& loop, int eventfd) {
    std::uint64_t count = 0;
    co_return co_await loop.event(eventfd, count);
}

std::vector<std::string> users_of(const Inventory& inventory, const std::vector<std::string>& disks) {
    std::vector<std::string> users;
    for (const std::string& disk : disks) {
        const std::vector<std::string> more = disk_users(inventory, disk);
        users.insert(users.end(), more.begin(), more.end());
    }
    return users;
}

/// Waits until nobody uses the disks, `grace` is over or another signal comes.
Task<void> wait_for_users(RunLoop& loop, StopSignals& signals, const std::vector<std::string>& disks,
                          std::chrono::seconds grace, const Report& report) {
    const Inventory inventory;
    const TimePoint deadline = Clock::now() + grace;
    bool told = false;
    for (;;) {
        const std::vector<std::string> users = users_of(inventory, disks);
        if (users.empty())
            co_return;
        if (!told)
            report(fmt::format("waiting at most {} s (until another signal) for what uses the disk: {}",
                               grace.count(), join(users)));
        told = true;
        if (Clock::now() >= deadline || signals.take()) {
            report(fmt::format("still in use; what comes from now on fails: {}", join(users)));
            co_return;
        }
        co_await loop.sleep_for(100ms);
    }
}

}  // namespace

Task<void> sync_everything(RunLoop& loop, Duration limit) {
    const auto done = std::make_shared<Fd>(::eventfd(0, EFD_CLOEXEC));
    if (!*done)
        throw_errno(errno, "create", "an eventfd for sync(2)");
    try {
        std::thread([done] {
            ::sync();
            ::eventfd_write(done->get(), 1);
        }).detach();
    } catch (const std::system_error& error) {
        throw_errno(error.code().value(), "start", "a thread for sync(2)");
    }
    Task<int> event = fired(loop, done->get());
    Task<int> limited = with_deadline(loop, std::move(event), limit, "writing what the page cache holds");
    co_await std::move(limited);
}

Task<void> drain_disks(RunLoop& loop, StopSignals& signals, std::vector<std::string> disks,
                       std::chrono::seconds grace, Report report) {
    Task<void> waiting = wait_for_users(loop, signals, disks, grace, report);
    co_await std::move(waiting);
    // Also when nobody is listed: a file system that is just being unmounted is in no list any more and still
    // writes. sync(2) waits for that.
    try {
        Task<void> sync = sync_everything(loop, 30s);
        co_await std::move(sync);
    } catch (const Error& error) {
        report(error.what());
    }
}

}  // namespace outboard
