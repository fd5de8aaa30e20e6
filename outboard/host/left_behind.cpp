#include "outboard/host/left_behind.hpp"

#include "outboard/base/error.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/host/device_mark.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

[[noreturn]] void refuse_busy(const ublk::ServedDevice& device, const DeviceName& name,
                              const std::vector<unsigned>& wanted) {
    const int pid = device.info.server_pid;
    if (wanted.empty() || std::ranges::find(wanted, device.disk.disk) != wanted.end())
        throw Error({.kind = ErrorKind::busy,
                     .action = "serve",
                     .subject = name.text(),
                     .cause = fmt::format("process {} serves it as {}", pid, device.path()),
                     .remedy = fmt::format("end that process first: kill {}", pid)});
    throw Error({.kind = ErrorKind::busy,
                 .action = "serve",
                 .subject = name.text(),
                 .cause = fmt::format("process {} has the device and serves its disk {} as {}", pid,
                                      device.disk.disk, device.path()),
                 .remedy = fmt::format("end that process (kill {}) and serve the disks by one: --disk {},{}",
                                       pid, device.disk.disk, fmt::join(wanted, ","))});
}

}  // namespace

Task<std::vector<ublk::ServedDevice>> find_left_behind(ublk::Control& control, DeviceName device,
                                                       std::vector<unsigned> wanted) {
    const ublk::ServedDisk mark = device_mark(device);
    Task<std::vector<ublk::ServedDevice>> search = ublk::find_served_devices(control);
    std::vector<ublk::ServedDevice> devices = co_await std::move(search);
    std::erase_if(devices, [&](const ublk::ServedDevice& one) { return !one.disk.same_device(mark); });
    // One that is wanted is named before another that is in the way.
    std::ranges::stable_partition(devices, [&](const ublk::ServedDevice& one) {
        return std::ranges::find(wanted, one.disk.disk) != wanted.end();
    });
    for (const ublk::ServedDevice& one : devices) {
        if (one.has_server())
            refuse_busy(one, device, wanted);
    }
    co_return devices;
}

const ublk::ServedDevice* of_disk(std::span<const ublk::ServedDevice> devices, unsigned number) noexcept {
    const auto found = std::ranges::find(
        devices, number, [](const ublk::ServedDevice& device) { return unsigned{device.disk.disk}; });
    return found == devices.end() ? nullptr : &*found;
}

void require_same_disk(const ublk::ServedDevice& device, const ublk::ServedDisk& mark, const DeviceName& name,
                       const BlockInfo& info) {
    if (device.state() == ublk::DeviceState::dead || device.disk.identity == mark.identity)
        return;
    throw Error(
        {.kind = ErrorKind::busy,
         .action = "take over",
         .subject = device.path(),
         .cause = fmt::format("it was left behind with another disk than the one that is disk {} of {} "
                              "now: {}",
                              mark.disk, name.text(), describe_disk(info)),
         .remedy = fmt::format("bring that disk back, or give up what waits for it with `outboard stop "
                               "{} --force`",
                               name.text())});
}

}  // namespace outboard
