#include "outboard/backend/pci/inventory.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"

#include <algorithm>
#include <charconv>
#include <ranges>
#include <sstream>
#include <system_error>

#include <fmt/format.h>

namespace outboard {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t resource_is_port = 0x100;  // IORESOURCE_IO in the third column of "resource"

std::uint64_t to_number(std::string_view text, int base) {
    if (text.starts_with("0x"))
        text.remove_prefix(2);
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, base);
    return value;
}

template <class Integer>
Integer read_hex(const fs::path& path) {
    return static_cast<Integer>(to_number(try_read_text(path).value_or(""), 16));
}

/// The last part of the place a symbolic link points to; empty when there is no link.
std::string link_name(const fs::path& link) {
    std::error_code error;
    const fs::path target = fs::read_symlink(link, error);
    return error ? std::string() : target.filename().string();
}

std::vector<fs::path> entries(const fs::path& directory) {
    std::error_code error;
    std::vector<fs::path> result;
    for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
        result.push_back(it->path());
    return result;
}

std::vector<std::string> words(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> result;
    for (std::string word; stream >> word;)
        result.push_back(word);
    return result;
}

PciIdentity read_identity(const fs::path& path) {
    const auto code = read_hex<std::uint32_t>(path / "class");
    return {.vendor = read_hex<std::uint16_t>(path / "vendor"),
            .device = read_hex<std::uint16_t>(path / "device"),
            .subsystem_vendor = read_hex<std::uint16_t>(path / "subsystem_vendor"),
            .subsystem = read_hex<std::uint16_t>(path / "subsystem_device"),
            .revision = read_hex<std::uint8_t>(path / "revision"),
            .base_class = static_cast<std::uint8_t>(code >> 16),
            .sub_class = static_cast<std::uint8_t>(code >> 8),
            .programming_interface = static_cast<std::uint8_t>(code)};
}

std::array<PciResource, 6> read_bars(const fs::path& path) {
    std::array<PciResource, 6> bars;
    const std::vector<std::string> columns = words(try_read_text(path / "resource").value_or(""));
    for (std::size_t i = 0; i < bars.size() && 3 * i + 2 < columns.size(); ++i) {
        const std::uint64_t first = to_number(columns[3 * i], 16);
        const std::uint64_t last = to_number(columns[3 * i + 1], 16);
        const std::uint64_t flags = to_number(columns[3 * i + 2], 16);
        if (flags != 0 && last >= first)
            bars[i] = {.start = first, .size = last - first + 1, .port_io = (flags & resource_is_port) != 0};
    }
    return bars;
}

PciDevice read_device(const PciAddress& address, const fs::path& link) {
    std::error_code error;
    PciDevice device;
    device.address = address;
    device.path = fs::canonical(link, error);
    if (error)
        device.path = link;
    device.identity = read_identity(device.path);
    device.driver = link_name(device.path / "driver");
    if (const std::string group = link_name(device.path / "iommu_group"); !group.empty())
        device.iommu_group = static_cast<unsigned>(to_number(group, 10));
    device.bars = read_bars(device.path);
    device.reset_methods = words(try_read_text(device.path / "reset_method").value_or(""));
    return device;
}

std::vector<PciDevice> read_devices(const fs::path& directory) {
    std::vector<PciDevice> devices;
    for (const fs::path& entry : entries(directory)) {
        const std::string name = entry.filename().string();
        if (PciAddress::has_form(name))
            devices.push_back(read_device(PciAddress::parse(name), entry));
    }
    std::ranges::sort(devices, {}, &PciDevice::address);
    return devices;
}

}  // namespace

std::vector<PciDevice> Inventory::devices() const {
    const fs::path directory = paths_.sys / "bus/pci/devices";
    std::error_code error;
    if (!fs::is_directory(directory, error))
        throw Error(
            {.kind = ErrorKind::unsupported,
             .action = "list",
             .subject = "PCI devices",
             .cause = fmt::format("there is no {}: this machine shows no PCI bus", directory.string()),
             .remedy = "mount sysfs at /sys, or use a machine with PCI"});
    return read_devices(directory);
}

PciDevice Inventory::device(const PciAddress& address) const {
    const fs::path link = paths_.sys / "bus/pci/devices" / address.text();
    std::error_code error;
    if (!fs::exists(link, error))
        throw Error({.kind = ErrorKind::not_found,
                     .action = "find the PCI device",
                     .subject = address.text(),
                     .cause = "this machine has no device at that address",
                     .remedy = "`outboard list --all` shows all of its devices"});
    return read_device(address, link);
}

std::vector<PciDevice> Inventory::group(unsigned number) const {
    return read_devices(paths_.sys / "kernel/iommu_groups" / std::to_string(number) / "devices");
}

bool Inventory::has_iommu() const {
    return !entries(paths_.sys / "kernel/iommu_groups").empty();
}

bool leaves_group_viable(const PciDevice& member) {
    constexpr std::array harmless = {"vfio-pci", "pci-stub", "pcieport"};
    return member.driver.empty() || member.is_bridge() ||
           std::ranges::find(harmless, member.driver) != harmless.end() ||
           member.driver.ends_with("-vfio-pci") || member.driver.ends_with("_vfio_pci");
}

std::vector<PciDevice> group_obstacles(const Inventory& inventory, const PciDevice& device) {
    std::vector<PciDevice> obstacles;
    if (!device.iommu_group)
        return obstacles;
    for (const PciDevice& member : inventory.group(*device.iommu_group))
        if (member.address != device.address && !leaves_group_viable(member))
            obstacles.push_back(member);
    return obstacles;
}

std::string describe(const std::vector<PciDevice>& members) {
    std::string text;
    for (const PciDevice& member : members)
        text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", member.address.text(),
                            member.driver.empty() ? "no driver" : member.driver);
    return text;
}

}  // namespace outboard
