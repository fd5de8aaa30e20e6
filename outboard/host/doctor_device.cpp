#include "outboard/backend/pci/names.hpp"
#include "outboard/backend/pci/requirements.hpp"
#include "outboard/backend/pci/usage.hpp"
#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/device/config_space.hpp"
#include "outboard/host/doctor.hpp"
#include "outboard/host/driver_table.hpp"

#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <unistd.h>

namespace outboard {

namespace {

Check check_driver(const PciDevice& device) {
    if (device.driver == vfio_driver)
        return {.name = "driver", .result = CheckResult::ok, .text = "bound to vfio-pci"};
    return {.name = "driver",
            .result = CheckResult::warn,
            .text = device.driver.empty() ? "no driver is bound" : fmt::format("bound to {}", device.driver),
            .remedy = fmt::format("`outboard bind {}` as root; `outboard run` does it by itself",
                                  device.address.text())};
}

Check check_group(const Inventory& inventory, const PciDevice& device) {
    try {
        const unsigned number = require_iommu_group("drive", inventory, device);
        if (const auto obstacles = group_obstacles(inventory, device); !obstacles.empty())
            throw_group_obstacles("drive", device, obstacles);
        return {.name = "group",
                .result = CheckResult::ok,
                .text = fmt::format("IOMMU group {}, {} other members, none in the way", number,
                                    inventory.group(number).size() - 1)};
    } catch (const Error& error) {
        return {.name = "group",
                .result = CheckResult::fail,
                .text = error.parts().cause,
                .remedy = error.parts().remedy};
    }
}

Check check_users(const Inventory& inventory, const PciDevice& device) {
    const std::vector<std::string> users = device_users(inventory, device);
    if (users.empty())
        return {.name = "in-use", .result = CheckResult::ok, .text = "not in use"};
    return {.name = "in-use",
            .result = CheckResult::fail,
            .text = join(users),
            .remedy = "unmount it, or stop what uses it, first"};
}

/// Only a bound device has a file whose rights can be looked at.
std::optional<Check> check_rights(const Inventory& inventory, const PciDevice& device) {
    if (device.driver != vfio_driver || !device.iommu_group)
        return std::nullopt;
    const std::filesystem::path path = inventory.paths().dev / "vfio" / std::to_string(*device.iommu_group);
    if (::access(path.c_str(), R_OK | W_OK) == 0)
        return Check{.name = "rights", .result = CheckResult::ok, .text = path.string() + " can be opened"};
    return Check{.name = "rights",
                 .result = CheckResult::fail,
                 .text = path.string() + " cannot be opened by this user",
                 .remedy = fmt::format("run as root, or `chown {} {}` as root", ::getuid(), path.string())};
}

Check check_reset(const PciDevice& device) {
    std::string methods;
    for (const std::string& method : device.reset_methods)
        methods += (methods.empty() ? "" : ", ") + method;
    // A driver resets its device by registers; the kernel's ways are for one that does not listen.
    return {.name = "reset",
            .result = CheckResult::ok,
            .text = methods.empty() ? "the kernel has no way to reset it; its driver has to" : methods};
}

unsigned read16(std::span<const std::byte> bytes, std::size_t offset) {
    return std::to_integer<unsigned>(bytes[offset]) | std::to_integer<unsigned>(bytes[offset + 1]) << 8;
}

/// From configuration space as sysfs has it: 64 bytes of it without rights, which do not reach the
/// capabilities.
Check check_interrupts(const PciDevice& device) {
    const std::string raw = try_read_text(device.path / "config").value_or("");
    std::vector<std::byte> bytes(PCI_CFG_SPACE_SIZE);
    std::ranges::copy(std::as_bytes(std::span(raw)).first(std::min(raw.size(), bytes.size())), bytes.begin());
    std::string text;
    const auto add = [&](const std::string& kind) { text += (text.empty() ? "" : ", ") + kind; };
    if (bytes[PCI_INTERRUPT_PIN] != std::byte{0})
        add("INTx");
    for (const Capability& capability : parse_capabilities(bytes)) {
        if (capability.id == static_cast<unsigned>(CapabilityId::msi))
            add(fmt::format("MSI ({})", 1U << (read16(bytes, capability.offset + PCI_MSI_FLAGS) >> 1 & 7)));
        else if (capability.id == static_cast<unsigned>(CapabilityId::msix))
            add(fmt::format("MSI-X ({})", (read16(bytes, capability.offset + PCI_MSIX_FLAGS) & 0x7ff) + 1));
    }
    if (raw.size() <= PCI_STD_HEADER_SIZEOF && ::geteuid() != 0)
        add("others only root can see");
    return {.name = "interrupts",
            .result = CheckResult::ok,
            .text = text.empty() ? "none: its driver has to poll" : text};
}

}  // namespace

Check check_outboard_driver(const PciIdentity& identity) {
    if (const KnownDriver* const driver = find_driver(identity))
        return {.name = "outboard-driver",
                .result = CheckResult::ok,
                .text = fmt::format("{}: {}", driver->name, driver->match(identity))};
    return {.name = "outboard-driver",
            .result = CheckResult::warn,
            .text = "no driver of this program knows the device",
            .remedy = "`outboard lab` is where one can be written"};
}

std::vector<Check> check_device(const Inventory& inventory, const PciAddress& address) {
    std::optional<PciDevice> found;
    try {
        found = inventory.device(address);
    } catch (const Error& error) {
        return {{.name = "device",
                 .result = CheckResult::fail,
                 .text = error.parts().cause,
                 .remedy = error.parts().remedy}};
    }
    const PciDevice& device = *found;
    std::vector<Check> checks;
    checks.push_back(
        {.name = "device", .result = CheckResult::ok, .text = PciNames::load().device(device.identity)});
    checks.push_back(check_outboard_driver(device.identity));
    checks.push_back(check_driver(device));
    checks.push_back(check_group(inventory, device));
    checks.push_back(check_users(inventory, device));
    if (auto rights = check_rights(inventory, device))
        checks.push_back(std::move(*rights));
    checks.push_back(check_reset(device));
    checks.push_back(check_interrupts(device));
    return checks;
}

}  // namespace outboard
