#include "outboard/backend/pci/binding.hpp"

#include "outboard/backend/pci/requirements.hpp"
#include "outboard/backend/pci/usage.hpp"
#include "outboard/base/error.hpp"

#include <cerrno>
#include <optional>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace outboard {

namespace fs = std::filesystem;

namespace {

constexpr const char* bind_action = "bind to vfio-pci the device";
constexpr const char* restore_action = "give back to the kernel the device";
constexpr const char* no_override = "(null)";  // what sysfs shows for an attribute that is not set

void require_endpoint(const PciDevice& device) {
    if (!device.is_bridge())
        return;
    throw Error({.kind = ErrorKind::unsupported,
                 .action = bind_action,
                 .subject = device.address.text(),
                 .cause = "it is a PCI bridge: the devices behind it would lose their bus",
                 .remedy = "bind the device behind it"});
}

void require_module(const HostPaths& paths, const PciDevice& device) {
    std::error_code error;
    if (fs::is_directory(paths.sys / "bus/pci/drivers" / vfio_driver, error))
        return;
    throw Error({.kind = ErrorKind::unsupported,
                 .action = bind_action,
                 .subject = device.address.text(),
                 .cause = "the kernel module vfio-pci is not loaded",
                 .remedy = "run `modprobe vfio-pci` as root"});
}

void require_unused(const char* action, const Inventory& inventory, const PciDevice& device,
                    const char* remedy) {
    const std::vector<std::string> users = device_users(inventory, device);
    if (!users.empty())
        throw Error({.kind = ErrorKind::busy,
                     .action = action,
                     .subject = device.address.text(),
                     .cause = "it is in use: " + join(users),
                     .remedy = remedy});
}

}  // namespace

BindingChange Binder::bind(const PciAddress& address) {
    const PciDevice device = inventory_.device(address);
    if (device.driver == vfio_driver)
        return {.before = device.driver, .after = device.driver};
    require_endpoint(device);
    require_iommu_group(bind_action, inventory_, device);
    require_module(inventory_.paths(), device);
    require_unused(bind_action, inventory_, device, "unmount it, or stop what uses it, first");
    if (const auto obstacles = group_obstacles(inventory_, device); !obstacles.empty())
        throw_group_obstacles(bind_action, device, obstacles);

    const std::string driver_override = try_read_text(device.path / "driver_override").value_or(no_override);
    const Before before{.driver = device.driver,
                        .driver_override = driver_override == no_override ? "" : driver_override};
    // The override comes first: a process without the rights fails here, with nothing changed.
    write(bind_action, address, device.path / "driver_override", vfio_driver);
    try {
        remember(device, before);
        unbind(bind_action, device);
        bind_to(bind_action, device, vfio_driver);
    } catch (const Error& error) {
        try {
            undo_bind(address, before);
        } catch (const Error& second) {
            ErrorParts parts = error.parts();
            parts.cause += fmt::format("; then: {}", second.what());
            throw Error(std::move(parts));
        }
        throw;
    }
    return {.before = device.driver, .after = inventory_.device(address).driver};
}

BindingChange Binder::restore(const PciAddress& address) {
    const PciDevice device = inventory_.device(address);
    const std::optional<Before> before = recall(address);
    const bool half_restored = device.driver.empty() && before;
    if (device.driver != vfio_driver && !half_restored)
        return {.before = device.driver, .after = device.driver};
    // The kernel would wait for such a program to end.
    require_unused(restore_action, inventory_, device, "stop what uses it first");
    const fs::path drivers = inventory_.paths().sys / "bus/pci/drivers";
    std::error_code error;
    if (before && !before->driver.empty() && !fs::is_directory(drivers / before->driver, error))
        throw Error({.kind = ErrorKind::unsupported,
                     .action = restore_action,
                     .subject = address.text(),
                     .cause = fmt::format("its driver {} is not loaded any more", before->driver),
                     .remedy = fmt::format("run `modprobe {}` as root", before->driver)});
    const std::string driver_override = before ? before->driver_override : std::string();
    write(restore_action, address, device.path / "driver_override",
          driver_override.empty() ? "\n" : driver_override);
    unbind(restore_action, device);
    if (!before)
        write(restore_action, address, inventory_.paths().sys / "bus/pci/drivers_probe", address.text());
    else if (!before->driver.empty())
        bind_to(restore_action, device, before->driver);
    fs::remove(memory_path(address), error);
    return {.before = device.driver, .after = inventory_.device(address).driver};
}

void Binder::let_go(const PciAddress& address) {
    std::error_code error;
    const fs::path memory = memory_path(address);
    const std::optional<Before> before = recall(address);
    if (!before)
        return;
    const fs::path attribute =
        inventory_.paths().sys / "bus/pci/devices" / address.text() / "driver_override";
    try {
        write("let go of the device", address, attribute,
              before->driver_override.empty() ? "\n" : before->driver_override);
    } catch (const Error& failure) {
        // It is gone, and so is its choice.
        if (failure.kind() != ErrorKind::not_found)
            throw;
    }
    fs::remove(memory, error);
}

fs::path Binder::memory_path(const PciAddress& address) const {
    return inventory_.paths().run / "bound" / address.text();
}

void Binder::remember(const PciDevice& device, const Before& before) const {
    const fs::path path = memory_path(device.address);
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error)
        throw_errno(error.value(), "create", path.parent_path().string(),
                    "the old driver is remembered there");
    const Fd file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
    const std::string text = before.driver + "\n" + before.driver_override + "\n";
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        throw_errno(errno, "write", path.string());
}

std::optional<Binder::Before> Binder::recall(const PciAddress& address) const {
    const auto text = try_read_text(memory_path(address));
    if (!text)
        return std::nullopt;
    const std::size_t end = text->find('\n');
    return Before{.driver = text->substr(0, end),
                  .driver_override = end == std::string::npos ? "" : text->substr(end + 1)};
}

void Binder::write(const char* action, const PciAddress& address, const fs::path& attribute,
                   std::string_view text) const {
    try {
        write_(attribute, text);
    } catch (const Error& error) {
        throw Error({.kind = error.kind(),
                     .action = action,
                     .subject = address.text(),
                     .cause = fmt::format("{}: {}", attribute.string(), error.parts().cause),
                     .remedy = error.kind() == ErrorKind::not_permitted ? "run it as root" : ""});
    }
}

void Binder::unbind(const char* action, const PciDevice& device) const {
    if (!device.driver.empty())
        write(action, device.address, inventory_.paths().sys / "bus/pci/drivers" / device.driver / "unbind",
              device.address.text());
}

void Binder::bind_to(const char* action, const PciDevice& device, const std::string& driver) const {
    write(action, device.address, inventory_.paths().sys / "bus/pci/drivers" / driver / "bind",
          device.address.text());
}

void Binder::undo_bind(const PciAddress& address, const Before& before) const {
    const PciDevice device = inventory_.device(address);
    write(restore_action, address, device.path / "driver_override",
          before.driver_override.empty() ? "\n" : before.driver_override);
    if (device.driver.empty() && !before.driver.empty())
        bind_to(restore_action, device, before.driver);
    std::error_code error;
    fs::remove(memory_path(address), error);
}

}  // namespace outboard
