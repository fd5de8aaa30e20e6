#include "outboard/host/end_service.hpp"

#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/claim.hpp"
#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/usage.hpp"
#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/export/ublk/control.hpp"
#include "outboard/export/ublk/served_device.hpp"
#include "outboard/host/device_mark.hpp"
#include "outboard/runtime/deadline.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

Task<int> ended(RunLoop& loop, int pidfd) {
    co_return co_await loop.poll(pidfd, POLLIN);
}

Task<void> end_process(RunLoop& loop, int pid) {
    const std::string subject = fmt::format("process {}", pid);
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process || ::syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0) != 0) {
        if (errno == ESRCH)
            co_return;
        throw_errno(errno, "end", subject);
    }
    Task<int> waiting = ended(loop, process.get());
    Task<int> limited = with_deadline(loop, std::move(waiting), 180s, subject);
    co_await std::move(limited);
}

Task<void> remove_left_behind(ublk::Control& control, ublk::ServedDevice device, std::string name,
                              bool force) {
    const std::vector<std::string> users =
        disk_users(Inventory(), fmt::format("ublkb{}", device.info.device_id));
    if (!users.empty() && !force)
        throw Error(
            {.kind = ErrorKind::busy,
             .action = "remove",
             .subject = device.path(),
             .cause = join(users),
             .remedy = fmt::format("`outboard run {} --disk {}` goes on with it; --force removes it, and "
                                   "everything that waits for it fails",
                                   name, device.disk.disk)});
    Task<void> removal = control.remove(device.info.device_id);
    co_await std::move(removal);
}

}  // namespace

Task<void> end_services(RunLoop& loop, EndOptions options) {
    ublk::Control control(loop);
    Task<std::vector<ublk::ServedDevice>> search = ublk::find_served_devices(control);
    std::vector<ublk::ServedDevice> devices = co_await std::move(search);
    const ublk::ServedDisk mark = device_mark(options.device);
    std::erase_if(devices, [&](const ublk::ServedDevice& device) { return !device.disk.same_device(mark); });
    if (devices.empty())
        throw Error({.kind = ErrorKind::not_found,
                     .action = "stop",
                     .subject = options.device.text(),
                     .cause = "no block device of it is served or left behind",
                     .remedy = {}});
    // Looked at before the first one ends: one process may serve several disks.
    std::vector<bool> served;
    for (const ublk::ServedDevice& device : devices)
        served.push_back(device.has_server());
    bool hand_back = false;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const ublk::ServedDevice& device = devices[i];
        if (served[i]) {
            Task<void> end = end_process(loop, device.info.server_pid);
            co_await std::move(end);
            options.report(fmt::format("{}: process {} has ended", device.path(), device.info.server_pid));
        } else {
            Task<void> removal = remove_left_behind(control, device, options.device.text(), options.force);
            co_await std::move(removal);
            options.report(
                fmt::format("{}: left behind by process {}, removed", device.path(), device.info.server_pid));
            hand_back = hand_back || device.disk.hand_back;
        }
    }
    if (hand_back && options.device.pci()) {
        const PciAddress& address = *options.device.pci();
        const DeviceClaim claim(Inventory().device(address));
        const BindingChange change = Binder().restore(address);
        options.report(fmt::format("{}: given back to {}", options.device.text(),
                                   change.after.empty() ? "no driver" : change.after));
    }
}

}  // namespace outboard
