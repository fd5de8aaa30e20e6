#include "outboard/export/ublk/disk_control.hpp"

#include "outboard/base/file.hpp"
#include "outboard/export/ublk/parameters.hpp"

#include <exception>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace outboard::ublk {

Task<DeviceInfo> make_device(Control& control, BlockInfo disk, DeviceWish wish) {
    std::uint64_t batch = 0;
    if (wish.batch) {
        Task<std::uint64_t> question = control.features();
        const std::uint64_t features = co_await std::move(question);
        batch = features & feature::batch_io;
    }
    DeviceInfo wanted{};
    wanted.queues = wish.queues;
    wanted.queue_depth = wish.queue_depth;
    wanted.max_io_bytes = request_buffer_bytes(disk);
    wanted.device_id = any_device;
    wanted.server_pid = ::getpid();
    wanted.flags = feature::user_recovery | feature::user_recovery_reissue | feature::ioctl_encoding | batch;
    wanted.server_flags = encode(wish.disk);
    Task<DeviceInfo> addition = control.add(wanted);
    const DeviceInfo info = co_await std::move(addition);

    std::exception_ptr failure;
    try {
        Task<void> parameters =
            control.set_parameters(info.device_id, make_parameters(disk, info.max_io_bytes));
        co_await std::move(parameters);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure)
        co_return info;
    Task<void> removal = control.remove(info.device_id);
    co_await std::move(removal);
    std::rethrow_exception(failure);
}

Task<Continuation> examine(Control& control, BlockInfo disk, ServedDevice device) {
    Continuation found;
    if (device.state() == DeviceState::dead) {
        found.obstacle = "it had no disk any more";
        co_return found;
    }
    Task<Parameters> question = control.parameters(device.info.device_id);
    const Parameters old = co_await std::move(question);
    found.obstacle = mismatch(old, disk, request_buffer_bytes(disk));
    if (device.info.queues > disk.max_queues)
        found.obstacle =
            fmt::format("it had {} queues, and the disk has {} now", device.info.queues, disk.max_queues);
    found.stable_writes =
        disk.volatile_write_cache && (old.basic.attributes & attribute::volatile_cache) == 0;
    co_return found;
}

Fd open_server_file(std::uint32_t device_id) {
    return open_file(server_path(device_id), O_RDWR);
}

}  // namespace outboard::ublk
