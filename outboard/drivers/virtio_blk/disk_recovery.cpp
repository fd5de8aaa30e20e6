// What the device tells unasked, and what its queues complain of, put right on the driver's thread: changes
// of the configuration, resets, and the end.
#include "outboard/base/error.hpp"
#include "outboard/drivers/virtio_blk/disk.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include <fmt/format.h>

namespace outboard::virtio_blk {

namespace {

using namespace std::chrono_literals;

constexpr Duration park_interval = 100us;

}  // namespace

/// Serves the vector of the configuration. INTx is the queue's as well: its loop was woken with this one, and
/// reading the status lowers the line.
Task<void> Disk::serve_interrupts() {
    for (;;) {
        int error = co_await interrupt_watch_->next();
        bool changed = true;
        const bool is_line = transport_.interrupt_kind() == InterruptKind::intx;
        if (is_line)
            changed = transport_.take_interrupt_status()[virtio::InterruptStatus::configuration];
        if (changed && usable_)
            look_at_configuration();
        error = error < 0 ? -error : transport_.interrupts().front().unmask();
        if (error != 0) {
            tell(fmt::format("{}: its interrupt cannot be used any more ({}){}", name_, errno_text(error),
                             is_line ? ", completions are polled for" : ""));
            // The line is the queue's too, which has no other.
            if (is_line)
                for (const Entry& entry : queues_)
                    entry.queue->expect_no_interrupt();
            break;
        }
    }
}

void Disk::look_at_configuration() {
    if (transport_.status()[virtio::DeviceStatus::needs_reset]) {
        device_wants_reset_ = true;
        attention_.wake();
        return;
    }
    try {
        const DiskConfiguration now = read_configuration(transport_);
        if (now.sectors != configuration_.sectors)
            tell(fmt::format("{} has {} sectors now instead of {}; start the driver anew to see it", name_,
                             now.sectors, configuration_.sectors));
        configuration_.sectors = now.sectors;
    } catch (const outboard::Error& error) {
        tell(error.what());
    }
}

Task<void> Disk::serve_attention() {
    for (;;) {
        const int result = co_await attention_watch_->next();
        attention_.deliver();
        if (!lost_ && reset_is_wanted()) {
            Task<void> recovering = recover();
            co_await std::move(recovering);
        }
        if (result < 0)
            break;
    }
}

bool Disk::reset_is_wanted() noexcept {
    bool wanted = std::exchange(device_wants_reset_, false);
    for (const Entry& entry : queues_)
        wanted = entry.queue->take_reset() || wanted;
    return wanted;
}

/// The queues' requests wait meanwhile.
Task<void> Disk::recover() {
    usable_ = false;
    tell(fmt::format("{}: the disk is reset", name_));
    stop_queues();
    bool again = false;
    try {
        Task<void> trying = bring_up_again();
        co_await std::move(trying);
        tell(fmt::format("{} works again after a reset", name_));
        co_return;
    } catch (const outboard::Error& error) {
        tell(error.what());
        again = transport_.device().resettable() && !all_ones(transport_.status());
    }
    if (again) {
        try {
            tell(fmt::format("{}: the whole device is reset", name_));
            transport_.device().reset();
            Task<void> trying = bring_up_again();
            co_await std::move(trying);
            tell(fmt::format("{} works again after a reset of the device", name_));
            co_return;
        } catch (const outboard::Error& error) {
            tell(error.what());
        }
    }
    give_up();
}

void Disk::stop_queues() {
    const std::scoped_lock lock(lending_);
    for (const Entry& entry : queues_)
        entry.queue->stop(entry.lent);
}

Task<void> Disk::bring_up_again() {
    // Queues are set up before the device may work, so all of them have to have let go of their rings; and
    // none may notify a device that was reset (2.1.2).
    const std::string what = fmt::format("every queue at rest on {}", name_);
    Task<void> waiting = wait_until(
        loop_,
        [this] {
            return std::ranges::all_of(queues_, [](const Entry& entry) { return entry.queue->parked(); });
        },
        request_limit_, park_interval, what);
    co_await std::move(waiting);
    Task<void> beginning = reset_and_negotiate();
    co_await std::move(beginning);
    const auto refuse = [this](std::string cause) {
        throw outboard::Error({.kind = ErrorKind::io,
                               .action = "go on with",
                               .subject = name_,
                               .cause = std::move(cause),
                               .remedy = {}});
    };
    // Requests that waited must not reach another disk. One that has grown is the same.
    DiskConfiguration now = read_configuration(transport_);
    if (now.sectors >= limits_.capacity >> sector_shift)
        configuration_.sectors = now.sectors;
    if (transport_.features() != features_ || now != configuration_)
        refuse("it is another disk, or has changed, after a reset");
    if (switch_write_cache() != write_cache_)
        refuse("its write cache is switched otherwise after a reset");
    transport_.set_up_configuration_vector();
    for (const Entry& entry : queues_) {
        if (transport_.largest_queue(entry.queue->ring().index()) < entry.queue->ring().size())
            refuse("its queues are shorter after a reset");
        entry.queue->restart_ring();
        transport_.set_up(entry.queue->ring());
    }
    transport_.start();
    Task<std::string> asking = ask_serial();
    const std::string serial = co_await std::move(asking);
    if (serial != info_.serial)
        refuse("it is another disk after a reset");
    usable_ = true;
    for (const Entry& entry : queues_)
        entry.queue->resume();
}

void Disk::give_up() noexcept {
    lost_ = true;
    try {
        // Before the requests' memory belongs to others: the device may still be there.
        transport_.device().set_bus_master(false);
        tell(fmt::format("{} is given up", name_));
    } catch (const std::exception& error) {
        tell(error.what());
    }
    for (const Entry& entry : queues_)
        entry.queue->lose();
}

}  // namespace outboard::virtio_blk
