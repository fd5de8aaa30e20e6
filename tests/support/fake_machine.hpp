// A machine's sysfs, procfs and run directory in a temporary directory, laid out as the kernel does, with the
// kernel's side of binding: what happens when driver_override, bind, unbind and drivers_probe are written.
#pragma once

#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/inventory.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outboard::test {

/// What a fake device shows.
struct FakeDevice {
    std::string address;
    std::string vendor = "0x8086";
    std::string device = "0x7010";
    std::string class_code = "0x010180";
    std::string driver = {};  ///< empty for none
    int group = -1;           ///< -1: not behind an IOMMU
};

class FakeMachine {
  public:
    FakeMachine() {
        std::string form = (std::filesystem::temp_directory_path() / "outboard-fake-XXXXXX").string();
        root_ = ::mkdtemp(form.data());
        std::filesystem::create_directories(paths().sys / "bus/pci/devices");
        std::filesystem::create_directories(paths().sys / "bus/pci/drivers");
        std::filesystem::create_directories(paths().sys / "class/net");
        std::filesystem::create_directories(paths().sys / "dev/block");
        std::filesystem::create_directories(paths().sys / "kernel/iommu_groups");
        std::filesystem::create_directories(paths().proc / "self");
        put(paths().proc / "self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\n");
        put(paths().proc / "swaps", "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n");
    }
    ~FakeMachine() { std::filesystem::remove_all(root_); }
    FakeMachine(const FakeMachine&) = delete;
    FakeMachine& operator=(const FakeMachine&) = delete;
    FakeMachine(FakeMachine&&) = delete;
    FakeMachine& operator=(FakeMachine&&) = delete;

    HostPaths paths() const {
        return {.sys = root_ / "sys",
                .proc = root_ / "proc",
                .dev = root_ / "dev",
                .modules = root_ / "modules",
                .run = root_ / "run/outboard"};
    }
    Inventory inventory() const { return Inventory(paths()); }

    std::filesystem::path device_path(const std::string& address) const {
        return paths().sys / "devices/pci0000:00" / address;
    }

    void add_driver(const std::string& name) {
        std::filesystem::create_directories(paths().sys / "bus/pci/drivers" / name);
    }
    void remove_driver(const std::string& name) {
        std::filesystem::remove_all(paths().sys / "bus/pci/drivers" / name);
    }

    /// Drivers that the kernel would choose for a device by its identity, most wanted first.
    void set_matches(const std::string& address, std::vector<std::string> drivers) {
        matches_[address] = std::move(drivers);
    }

    void add(const FakeDevice& device) {
        const std::filesystem::path path = device_path(device.address);
        std::filesystem::create_directories(path);
        put(path / "vendor", device.vendor + "\n");
        put(path / "device", device.device + "\n");
        put(path / "subsystem_vendor", "0x1af4\n");
        put(path / "subsystem_device", "0x1100\n");
        put(path / "revision", "0x02\n");
        put(path / "class", device.class_code + "\n");
        put(path / "driver_override", "(null)\n");
        put(path / "resource",
            "0x00000000000001f0 0x00000000000001f7 0x0000000000000110\n"
            "0x00000000000003f6 0x00000000000003f6 0x0000000000000110\n"
            "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
            "0x00000000febd0000 0x00000000febd0fff 0x0000000000040200\n");
        put(path / "reset_method", "flr bus\n");
        link(path, paths().sys / "bus/pci/devices" / device.address);
        if (!device.driver.empty()) {
            add_driver(device.driver);
            link(paths().sys / "bus/pci/drivers" / device.driver, path / "driver");
            matches_[device.address] = {device.driver};
        }
        if (device.group >= 0) {
            const auto group = paths().sys / "kernel/iommu_groups" / std::to_string(device.group);
            std::filesystem::create_directories(group / "devices");
            link(group, path / "iommu_group");
            link(path, group / "devices" / device.address);
        }
    }

    /// A block device `name` in `parent` (a directory in sysfs): a disk in the device, a partition in its
    /// disk.
    std::filesystem::path add_block(const std::filesystem::path& parent, const std::string& name,
                                    const std::string& number) {
        const std::filesystem::path path = parent / name;
        std::filesystem::create_directories(path / "holders");
        std::filesystem::create_directories(paths().sys / "class/block");
        put(path / "dev", number + "\n");
        put(path / "uevent", "MAJOR=8\nDEVNAME=" + name + "\nDEVTYPE=disk\n");
        link(paths().sys / "class/block", path / "subsystem");
        link(path, paths().sys / "class/block" / name);
        link(path, paths().sys / "dev/block" / number);
        return path;
    }

    void add_mount(const std::string& number, const std::string& where, const std::string& source) {
        std::ofstream(paths().proc / "self/mountinfo", std::ios::app)
            << "40 22 " << number << " / " << where << " rw,relatime shared:1 - ext4 " << source << " rw\n";
    }
    void add_swap(const std::string& path) {
        std::ofstream(paths().proc / "swaps", std::ios::app) << path << "\tpartition\t1000\t0\t-2\n";
    }
    void add_interface(const std::filesystem::path& parent, const std::string& name,
                       const std::string& flags) {
        std::filesystem::create_directories(parent / "net" / name);
        put(parent / "net" / name / "flags", flags + "\n");
        link(parent / "net" / name, paths().sys / "class/net" / name);
    }
    /// A process that has `path` open.
    void add_process(int pid, const std::string& name, const std::string& path) {
        const auto process = paths().proc / std::to_string(pid);
        std::filesystem::create_directories(process / "fd");
        put(process / "comm", name + "\n");
        std::filesystem::create_symlink("/dev/null", process / "fd/0");
        std::filesystem::create_symlink(path, process / "fd/3");
    }

    /// The kernel's side of the attributes that binding writes. Writing to `forbidden` fails with EACCES,
    /// probing by a driver in `refusing` with EINVAL.
    AttributeWriter kernel() {
        return [this](const std::filesystem::path& attribute, std::string_view text) {
            written.push_back(std::filesystem::relative(attribute, paths().sys).string() + " ← " +
                              std::string(text));
            react(attribute, std::string(text));
        };
    }

    std::set<std::string> refusing;
    std::string forbidden;
    std::vector<std::string> written;  ///< everything that was written, in order

    std::string driver_of(const std::string& address) const {
        return inventory().device(PciAddress::parse(address)).driver;
    }
    std::string driver_override_of(const std::string& address) const {
        return try_read_text(device_path(address) / "driver_override").value_or("");
    }

    static void put(const std::filesystem::path& path, const std::string& text) {
        std::ofstream(path) << text;
    }

  private:
    static void link(const std::filesystem::path& target, const std::filesystem::path& place) {
        std::filesystem::create_directories(place.parent_path());
        std::filesystem::create_symlink(std::filesystem::relative(target, place.parent_path()), place);
    }

    bool accepts(const std::string& driver, const std::string& address) const {
        const std::string wanted = driver_override_of(address);
        if (wanted != "(null)")
            return wanted == driver;
        const auto match = matches_.find(address);
        return match != matches_.end() && std::ranges::find(match->second, driver) != match->second.end();
    }

    void probe(const std::string& driver, const std::string& address) {
        if (!accepts(driver, address))
            throw_errno(ENODEV, "write", "bind");
        if (refusing.contains(driver))
            throw_errno(EINVAL, "write", "bind");
        link(paths().sys / "bus/pci/drivers" / driver, device_path(address) / "driver");
    }

    void react(const std::filesystem::path& attribute, const std::string& text) {
        if (!forbidden.empty() && attribute.filename() == forbidden)
            throw_errno(EACCES, "open", attribute.string());
        const std::string name = attribute.filename().string();
        if (name == "driver_override") {
            put(attribute, text == "\n" ? "(null)\n" : text + "\n");
        } else if (name == "unbind") {
            if (driver_of(text) != attribute.parent_path().filename())
                throw_errno(ENODEV, "write", attribute.string());
            std::filesystem::remove(device_path(text) / "driver");
        } else if (name == "bind") {
            if (!std::filesystem::is_directory(attribute.parent_path()))
                throw_errno(ENOENT, "open", attribute.string());
            probe(attribute.parent_path().filename().string(), text);
        } else if (name == "drivers_probe") {
            for (const std::string& driver : matches_[text])
                if (driver_of(text).empty() &&
                    std::filesystem::is_directory(paths().sys / "bus/pci/drivers" / driver))
                    probe(driver, text);
        } else {
            throw_errno(ENOENT, "open", attribute.string());
        }
    }

    std::filesystem::path root_;
    std::map<std::string, std::vector<std::string>> matches_;
};

}  // namespace outboard::test
