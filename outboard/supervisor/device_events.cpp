#include "outboard/supervisor/device_events.hpp"

#include "outboard/base/error.hpp"

#include <cerrno>
#include <string_view>

#include <libudev.h>

namespace outboard {

namespace {

/// A machine that boots tells of thousands of devices at once.
constexpr int buffer_bytes = 1 << 20;

struct ReleaseDevice {
    void operator()(udev_device* device) const noexcept { ::udev_device_unref(device); }
};

std::optional<DeviceEvent> event_of(udev_device* device) {
    const char* const action = ::udev_device_get_action(device);
    const char* const name = ::udev_device_get_sysname(device);
    if (action == nullptr || name == nullptr || !PciAddress::has_form(name))
        return std::nullopt;
    const std::string_view word = action;
    if (word != "add" && word != "remove")
        return std::nullopt;
    return DeviceEvent{.device = PciAddress::parse(name), .plugged = word == "add"};
}

}  // namespace

void DeviceEvents::Release::operator()(udev* context) const noexcept {
    ::udev_unref(context);
}

void DeviceEvents::Release::operator()(udev_monitor* monitor) const noexcept {
    ::udev_monitor_unref(monitor);
}

DeviceEvents::DeviceEvents() : context_(::udev_new()) {
    if (context_)
        monitor_.reset(::udev_monitor_new_from_netlink(context_.get(), "kernel"));
    if (!monitor_)
        throw_errno(errno, "follow", "the kernel's device events");
    // A smaller buffer does as well, until too much happens at once.
    static_cast<void>(::udev_monitor_set_receive_buffer_size(monitor_.get(), buffer_bytes));
    if (::udev_monitor_filter_add_match_subsystem_devtype(monitor_.get(), "pci", nullptr) < 0 ||
        ::udev_monitor_enable_receiving(monitor_.get()) < 0)
        throw_errno(errno, "follow", "the kernel's device events");
}

int DeviceEvents::fd() const noexcept {
    return ::udev_monitor_get_fd(monitor_.get());
}

std::optional<std::vector<DeviceEvent>> DeviceEvents::take() {
    std::vector<DeviceEvent> events;
    for (;;) {
        errno = 0;
        const std::unique_ptr<udev_device, ReleaseDevice> device(
            ::udev_monitor_receive_device(monitor_.get()));
        if (device) {
            if (const auto event = event_of(device.get()))
                events.push_back(*event);
            continue;
        }
        if (errno == ENOBUFS)
            return std::nullopt;
        return events;
    }
}

}  // namespace outboard
