#include "outboard/backend/pci/usage.hpp"

#include "outboard/base/fd.hpp"
#include "outboard/base/file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

namespace outboard {

namespace {

namespace fs = std::filesystem;

/// A device node that some subsystem made for the device: its name below /dev and its number, "8:1".
struct Node {
    std::string name;
    std::string number;
    bool block = false;
};

std::vector<fs::path> entries(const fs::path& directory) {
    std::error_code error;
    std::vector<fs::path> result;
    for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
        result.push_back(it->path());
    std::ranges::sort(result);
    return result;
}

std::string uevent_value(const fs::path& directory, std::string_view key) {
    std::istringstream lines(try_read_text(directory / "uevent").value_or(""));
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with(key))
            return line.substr(key.size());
    return {};
}

/// True when `path` lies below the PCI device at `ancestor` and not below another one behind it, as behind a
/// bridge.
bool belongs_to(const fs::path& path, const fs::path& ancestor) {
    const auto [rest, below] = std::ranges::mismatch(ancestor, path);
    return rest == ancestor.end() && std::none_of(below, path.end(), [](const fs::path& part) {
               return PciAddress::has_form(part.string());
           });
}

/// What a user is looked for in: the machine's state, read once.
class Usage {
  public:
    Usage(const Inventory& inventory, const PciDevice& device) : paths_(inventory.paths()), device_(device) {}

    std::vector<std::string> find() {
        add_node(device_.path);
        collect_nodes(device_.path);
        collect_multipath_nodes();
        for (const Node& node : nodes_)
            if (node.block)
                add_stacked(node, "/dev/" + node.name);
        add_mounts(paths_.proc / "self");
        add_other_name_spaces();
        add_swaps();
        add_interfaces();
        add_openers();
        if (users_.empty())
            add_claims();
        return std::move(users_);
    }

  private:
    void add(std::string user) {
        if (std::ranges::find(users_, user) == users_.end())
            users_.push_back(std::move(user));
    }

    void add_node(const fs::path& directory) {
        const auto number = try_read_text(directory / "dev");
        if (!number)
            return;
        std::error_code error;
        Node node{.name = uevent_value(directory, "DEVNAME="),
                  .number = *number,
                  .block = fs::read_symlink(directory / "subsystem", error).filename() == "block"};
        if (node.name.empty())
            node.name = directory.filename().string();
        nodes_.push_back(std::move(node));
    }

    /// Every node that lies below the device in sysfs, partitions included; not those of devices behind a
    /// bridge.
    void collect_nodes(const fs::path& top) {
        std::error_code error;
        for (fs::recursive_directory_iterator it(top, error), end; !error && it != end; it.increment(error)) {
            if (!it->is_directory(error) || it->is_symlink(error))
                continue;
            if (PciAddress::has_form(it->path().filename().string()))
                it.disable_recursion_pending();
            else
                add_node(it->path());
        }
    }

    /// NVMe disks with several paths lie under a virtual subsystem that links to its controllers.
    void collect_multipath_nodes() {
        for (const fs::path& subsystem : entries(paths_.sys / "devices/virtual/nvme-subsystem"))
            for (const fs::path& entry : entries(subsystem)) {
                std::error_code error;
                if (fs::is_symlink(entry, error) && belongs_to(fs::canonical(entry, error), device_.path)) {
                    collect_nodes(subsystem);
                    break;
                }
            }
    }

    /// Device mapper, RAID and the like on top of a disk or partition, and what is mounted on top of those.
    void add_stacked(const Node& below, const std::string& name) {
        for (const fs::path& holder : entries(paths_.sys / "dev/block" / below.number / "holders")) {
            add(fmt::format("{} is built on {}", holder.filename().string(), name));
            const auto number = try_read_text(holder / "dev");
            if (!number ||
                !stacked_.emplace(*number, fmt::format("{} on {}", holder.filename().string(), name)).second)
                continue;
            add_stacked({.name = holder.filename().string(), .number = *number, .block = true},
                        holder.filename().string());
        }
    }

    /// What messages call the disk with this number, when it is the device's or built on it.
    std::string disk_name(std::string_view number) const {
        for (const Node& node : nodes_)
            if (node.block && node.number == number)
                return "/dev/" + node.name;
        const auto stacked = stacked_.find(std::string(number));
        return stacked != stacked_.end() ? stacked->second : std::string();
    }

    /// /proc/PID/mountinfo: "36 35 98:0 /root /mount/point options … - type source options" (proc(5)). A
    /// file system with a number of its own (btrfs) is recognized by its source.
    void add_mounts(const fs::path& process) {
        std::istringstream lines(try_read_text(process / "mountinfo").value_or(""));
        for (std::string line; std::getline(lines, line);) {
            std::istringstream fields(line);
            std::array<std::string, 5> field;
            for (std::string& text : field)
                fields >> text;
            std::string name = disk_name(field[2]);
            if (const std::size_t mark = line.find(" - "); name.empty() && mark != std::string::npos) {
                std::istringstream rest(line.substr(mark + 3));
                std::string type;
                std::string source;
                rest >> type >> source;
                name = node_name(source);
            }
            if (!name.empty())
                add(fmt::format("{} is mounted at {}", name, field[4]));
        }
    }

    /// Containers and services have mounts that this process does not see.
    void add_other_name_spaces() {
        std::error_code error;
        std::set<fs::path> seen{fs::read_symlink(paths_.proc / "self/ns/mnt", error)};
        for (const fs::path& process : entries(paths_.proc)) {
            if (process.filename().string().find_first_not_of("0123456789") != std::string::npos)
                continue;
            const fs::path name_space = fs::read_symlink(process / "ns/mnt", error);
            if (!error && seen.insert(name_space).second)
                add_mounts(process);
        }
    }

    /// `path` when it is a block node of the device.
    std::string node_name(const std::string& path) const {
        const bool known = std::ranges::any_of(
            nodes_, [&](const Node& node) { return node.block && path == "/dev/" + node.name; });
        return known ? path : std::string();
    }

    /// /proc/swaps: a headline, then "/dev/sda2 partition size used priority".
    void add_swaps() {
        std::istringstream lines(try_read_text(paths_.proc / "swaps").value_or(""));
        for (std::string line; std::getline(lines, line);) {
            const std::string path = line.substr(0, line.find_first_of(" \t"));
            std::string name = node_name(path);
            if (name.empty() && path.starts_with("/dev/dm-"))
                name = disk_name(
                    try_read_text(paths_.sys / "class/block" / path.substr(5) / "dev").value_or(""));
            if (!name.empty())
                add(name + " is active swap");
        }
    }

    void add_interfaces() {
        for (const fs::path& interface : entries(paths_.sys / "class/net")) {
            std::error_code error;
            if (!belongs_to(fs::canonical(interface, error), device_.path))
                continue;
            const std::string flags = try_read_text(interface / "flags").value_or("");
            std::string_view digits = flags;
            if (digits.starts_with("0x"))
                digits.remove_prefix(2);
            unsigned value = 0;
            std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
            if ((value & IFF_UP) != 0)
                add(fmt::format("network interface {} is up", interface.filename().string()));
        }
    }

    /// Processes that have a node of the device open: a raw disk, a camera, a display, or its VFIO group.
    void add_openers() {
        std::set<std::string> watched;
        for (const Node& node : nodes_)
            watched.insert("/dev/" + node.name);
        if (device_.iommu_group)
            watched.insert(fmt::format("/dev/vfio/{}", *device_.iommu_group));
        for (const fs::path& process : entries(paths_.proc)) {
            const std::string pid = process.filename().string();
            if (pid.find_first_not_of("0123456789") != std::string::npos)
                continue;
            for (const fs::path& fd : entries(process / "fd")) {
                std::error_code error;
                const std::string target = fs::read_symlink(fd, error).string();
                if (!error && watched.contains(target))
                    add(fmt::format("process {} ({}) has {} open", pid,
                                    try_read_text(process / "comm").value_or("unknown"), target));
            }
        }
    }

    /// Users inside the kernel that are in no list (a pool of ZFS, an exported target) claim a disk all the
    /// same: it cannot be opened exclusively then (open(2), O_EXCL on a block device).
    void add_claims() {
        for (const Node& node : nodes_) {
            const fs::path path = paths_.dev / node.name;
            if (!node.block)
                continue;
            const Fd file(::open(path.c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC));
            if (!file && errno == EBUSY)
                add(fmt::format("something in the kernel has claimed {}", path.string()));
        }
    }

    const HostPaths& paths_;
    const PciDevice& device_;
    std::vector<Node> nodes_;
    std::map<std::string, std::string> stacked_;  ///< number of a stacked disk → what messages call it
    std::vector<std::string> users_;
};

}  // namespace

std::vector<std::string> device_users(const Inventory& inventory, const PciDevice& device) {
    return Usage(inventory, device).find();
}

std::vector<std::string> disk_users(const Inventory& inventory, const std::string& disk) {
    std::error_code error;
    PciDevice device;
    device.path = fs::canonical(inventory.paths().sys / "block" / disk, error);
    return error ? std::vector<std::string>() : Usage(inventory, device).find();
}

std::string join(const std::vector<std::string>& texts) {
    std::string whole;
    for (const std::string& text : texts)
        whole += (whole.empty() ? "" : "; ") + text;
    return whole;
}

}  // namespace outboard
