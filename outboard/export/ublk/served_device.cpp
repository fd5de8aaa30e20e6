#include "outboard/export/ublk/served_device.hpp"

#include <cerrno>
#include <csignal>
#include <utility>

#include <fmt/format.h>

namespace outboard::ublk {

bool ServedDevice::has_server() const noexcept {
    return state() == DeviceState::live && info.server_pid > 0 &&
           (::kill(info.server_pid, 0) == 0 || errno == EPERM);
}

Task<std::vector<ServedDevice>> find_served_devices(Control& control) {
    std::vector<ServedDevice> devices;
    const std::vector<std::uint32_t> ids = device_ids();
    for (const std::uint32_t id : ids) {
        Task<std::optional<DeviceInfo>> question = control.info(id);
        const std::optional<DeviceInfo> info = co_await std::move(question);
        if (!info)
            continue;
        if (const auto disk = decode_served_disk(info->server_flags))
            devices.push_back({.info = *info, .disk = *disk});
    }
    co_return devices;
}

std::string describe_left_behind(const ServedDevice& device) {
    const bool waits = device.state() == DeviceState::quiesced || device.state() == DeviceState::live;
    return fmt::format(
        "{} (disk {} of {}) was left behind by process {}: {}. `outboard run {} --disk {}` takes it over, "
        "`outboard stop {}` removes it",
        device.path(), device.disk.disk, device.disk.device_name(), device.info.server_pid,
        waits ? "its requests wait for the next one" : "it was never started, or stopped",
        device.disk.device_name(), device.disk.disk, device.disk.device_name());
}

}  // namespace outboard::ublk
