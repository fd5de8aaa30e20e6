#include "outboard/lab/devices.hpp"

#include "outboard/base/error.hpp"

#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>

#include <fmt/format.h>

namespace outboard::lab {

namespace {

enum class Shape { single, disk_port, port_disk, port_net, net };

struct Preset {
    std::string_view name;
    std::string_view model;  // QEMU's name of the device or controller
    Shape shape;
    int slot;                  // on pcie.0; 0: behind a root port of its own
    std::string_view options;  // more properties
    std::string_view text;
};

// Slots are part of the lab's interface: tests name devices by them. Those behind root ports are on buses 1,
// 2, … in the order they are given.
// NOLINTBEGIN(modernize-use-designated-initializers): a table
constexpr std::array<Preset, 17> presets{{
    {"ide", "piix3-ide", Shape::disk_port, 0x04, "", "PIIX3 IDE; each ide adds a disk: two channels of two"},
    {"ahci", "ich9-ahci", Shape::disk_port, 0x05, "", "AHCI; each ahci adds a disk: six ports"},
    {"edu", "edu", Shape::single, 0x06, "", "QEMU's teaching device"},
    {"serial", "pci-serial", Shape::single, 0x07, "",
     "16550 UART; its other end is the file serial.log of the run"},
    {"xhci", "qemu-xhci", Shape::single, 0x08, "", "USB 3 controller"},
    {"hda", "intel-hda", Shape::single, 0x09, "", "Intel High Definition Audio, with a codec"},
    {"display", "bochs-display", Shape::single, 0x0a, "", "a framebuffer"},
    {"e1000", "e1000", Shape::net, 0x0b, "", "82540EM network card"},
    {"rtl8139", "rtl8139", Shape::net, 0x0c, "", "RTL8139 network card"},
    {"ne2000", "ne2k_pci", Shape::net, 0x0d, "", "NE2000 network card"},
    {"cmd646-ide", "cmd646-ide", Shape::disk_port, 0x0e, "",
     "CMD646 IDE (a QEMU built with it); two channels of two"},
    {"nvme", "nvme", Shape::port_disk, 0, "", "NVMe"},
    {"virtio-blk", "virtio-blk-pci", Shape::port_disk, 0, "disable-legacy=on,iommu_platform=on,ats=on",
     "virtio disk"},
    {"virtio-net", "virtio-net-pci", Shape::port_net, 0, "disable-legacy=on,iommu_platform=on,ats=on",
     "virtio network card"},
    {"e1000e", "e1000e", Shape::port_net, 0, "", "82574L network card"},
    {"igb", "igb", Shape::port_net, 0, "", "82576 network card (QEMU 8.0 or newer: --qemu newer)"},
    {"virtio-keyboard", "virtio-keyboard-pci", Shape::single, 0x0f, "disable-legacy=on,iommu_platform=on",
     "virtio keyboard"},
}};
// NOLINTEND(modernize-use-designated-initializers)

constexpr int first_root_port_slot = 0x10;
constexpr int most_root_ports = 12;

const Preset* find_preset(std::string_view name) {
    for (const Preset& preset : presets)
        if (preset.name == name)
            return &preset;
    return nullptr;
}

[[noreturn]] void refuse(const std::string& option, const std::string& cause, const std::string& remedy) {
    throw Error({.kind = ErrorKind::usage,
                 .action = "add the device",
                 .subject = option,
                 .cause = cause,
                 .remedy = remedy});
}

// "nvme0", but "e1000-0".
std::string device_id(const std::string& name, int number) {
    const bool ends_with_digit = name.back() >= '0' && name.back() <= '9';
    return fmt::format("{}{}{}", name, ends_with_digit ? "-" : "", number);
}

class Layout {
  public:
    void add(const std::string& text) {
        DeviceOption option = parse_device(text);
        const Preset* preset = find_preset(option.name);
        if (preset == nullptr) {
            argument("-device", text);
            return;
        }
        const int number = count_[option.name]++;
        const std::string id = device_id(option.name, number);
        switch (preset->shape) {
            case Shape::disk_port:
                add_disk_on_controller(*preset, option, id, number);
                return;
            case Shape::port_disk:
                add_drive(option, id);
                add_endpoint(*preset, option, id, number, fmt::format("drive={0}-drive,serial={0}", id));
                return;
            case Shape::net:
            case Shape::port_net:
                add_endpoint(*preset, option, id, number, "netdev=" + add_network(option, id));
                return;
            case Shape::single:
                if (option.name == "serial") {
                    argument("-chardev", fmt::format("file,id={}-end,path=@RUN@/{}.log", id, id));
                    add_endpoint(*preset, option, id, number, fmt::format("chardev={}-end", id));
                } else {
                    add_endpoint(*preset, option, id, number, {});
                }
                if (option.name == "hda")
                    argument("-device", fmt::format("hda-duplex,bus={}.0", id));
                return;
        }
    }

    Devices take() { return std::move(result_); }

  private:
    void argument(const std::string& name, const std::string& value) {
        result_.arguments.push_back(name);
        result_.arguments.push_back(value);
    }

    static std::string rest_of(const DeviceOption& option) {
        std::string text;
        for (const auto& [key, value] : option.properties)
            text += fmt::format(",{}={}", key, value);
        return text;
    }

    void add_drive(DeviceOption& option, const std::string& id) {
        const std::uint64_t size = parse_size(option.take("size", "1G"));
        if (option.take("null", "off") == "on") {
            argument("-drive",
                     fmt::format("driver=null-co,size={},read-zeroes=on,if=none,id={}-drive", size, id));
            return;
        }
        Disk disk;
        disk.name = id;
        disk.file = option.take("file");
        disk.format = option.take("format", "raw");
        disk.blkdebug = option.take("blkdebug");
        disk.size = size;
        const std::string cache = option.take("cache", "writeback");
        const std::string file = disk.blkdebug.empty()
                                     ? fmt::format("file=@DISK:{}@", id)
                                     : fmt::format(
                                           "file.driver=blkdebug,file.config={},file.image.driver=file,"
                                           "file.image.filename=@DISK:{}@",
                                           disk.blkdebug, id);
        argument("-drive", fmt::format("{},format={},if=none,id={}-drive,cache={},discard=unmap", file,
                                       disk.format, id, cache));
        result_.disks.push_back(disk);
    }

    void add_disk_on_controller(const Preset& preset, DeviceOption& option, const std::string& id,
                                int number) {
        const bool two_a_channel = preset.name != "ahci";
        const int places = two_a_channel ? 4 : 6;
        if (number >= places)
            refuse(option.name, fmt::format("the controller has {} places for disks", places), "use fewer");
        const std::string controller = fmt::format("{}-controller", preset.name);
        if (number == 0) {
            argument("-device", fmt::format("{},id={},addr={:x}", preset.model, controller, preset.slot));
            place(id, 0, preset.slot);
        }
        if (option.take("empty", "off") == "on")
            return;
        add_drive(option, id);
        const std::string where = two_a_channel
                                      ? fmt::format("bus={}.{},unit={}", controller, number / 2, number % 2)
                                      : fmt::format("bus={}.{}", controller, number);
        argument("-device",
                 fmt::format("ide-hd,id={0},{1},drive={0}-drive,serial={0}{2}", id, where, rest_of(option)));
    }

    // A back end for a network card: QEMU's own small network without a way out, or a hub shared with other
    // cards.
    std::string add_network(DeviceOption& option, const std::string& id) {
        std::string given = option.take("netdev");
        if (!given.empty())
            return given;
        std::string net = id + "-net";
        const std::string hub = option.take("hub");
        argument("-netdev", hub.empty() ? fmt::format("user,id={},restrict=on", net)
                                        : fmt::format("hubport,id={},hubid={}", net, hub));
        if (const std::string file = option.take("pcap"); !file.empty())
            argument("-object", fmt::format("filter-dump,id={0}-dump,netdev={0},file={1}", net, file));
        return net;
    }

    void add_endpoint(const Preset& preset, const DeviceOption& option, const std::string& id, int number,
                      const std::string& wiring) {
        std::string where;
        if (preset.slot == 0) {
            if (root_ports_ == most_root_ports)
                refuse(option.name, fmt::format("the lab has {} root ports", most_root_ports), "use fewer");
            const int slot = first_root_port_slot + root_ports_;
            ++root_ports_;
            argument("-device",
                     fmt::format("pcie-root-port,id=port{0},chassis={0},addr={1:x}", root_ports_, slot));
            where = fmt::format("bus=port{}", root_ports_);
            place(id, root_ports_, 0);
        } else {
            if (number > 0)
                refuse(option.name, "the lab has a place for one of these",
                       fmt::format("add more of them by QEMU's own name, as in --device {},addr=15",
                                   preset.model));
            where = fmt::format("addr={:x}", preset.slot);
            place(id, 0, preset.slot);
        }
        std::string text = fmt::format("{},id={},{}", preset.model, id, where);
        if (!wiring.empty())
            text += "," + wiring;
        if (!preset.options.empty())
            text += fmt::format(",{}", preset.options);
        argument("-device", text + rest_of(option));
    }

    void place(const std::string& name, int bus, int slot) {
        result_.addresses.emplace_back(name, fmt::format("0000:{:02x}:{:02x}.0", bus, slot));
    }

    Devices result_;
    std::map<std::string, int> count_;
    int root_ports_ = 0;
};

}  // namespace

std::string DeviceOption::take(const std::string& key, const std::string& fallback) {
    for (auto at = properties.begin(); at != properties.end(); ++at) {
        if (at->first != key)
            continue;
        std::string value = at->second;
        properties.erase(at);
        return value;
    }
    return fallback;
}

DeviceOption parse_device(const std::string& text) {
    DeviceOption option;
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::size_t comma = rest.find(',');
        const std::string_view word = rest.substr(0, comma);
        rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
        if (option.name.empty()) {
            option.name = word;
            if (word.empty())
                break;
            continue;
        }
        const std::size_t equals = word.find('=');
        option.properties.emplace_back(word.substr(0, equals),
                                       equals == std::string_view::npos ? "on" : word.substr(equals + 1));
    }
    if (option.name.empty())
        refuse("\"" + text + "\"", "it has no name", "write --device NAME[,key=value…]");
    return option;
}

std::uint64_t parse_size(const std::string& text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string unit(end, text.data() + text.size());
    static const std::map<std::string, unsigned> shifts{{"", 0}, {"K", 10}, {"M", 20}, {"G", 30}, {"T", 40}};
    const auto shift = shifts.find(unit);
    if (error != std::errc() || shift == shifts.end() || number == 0 || number >> (63 - shift->second) != 0)
        throw Error({.kind = ErrorKind::usage,
                     .action = "read the size",
                     .subject = "\"" + text + "\"",
                     .cause = "it is not a positive number with K, M, G or T",
                     .remedy = "write for example 64M"});
    return number << shift->second;
}

Devices lay_out(const std::vector<std::string>& options) {
    Layout layout;
    for (const std::string& option : options)
        layout.add(option);
    return layout.take();
}

std::string preset_table() {
    std::string table;
    for (const Preset& preset : presets)
        table += fmt::format(
            "  {:<16} {:<13} {}\n", preset.name,
            preset.slot == 0 ? "0000:BUS:00.0" : fmt::format("0000:00:{:02x}.0", preset.slot), preset.text);
    return table + "  (BUS is 01, 02, … in the order of those devices on the command line)\n";
}

}  // namespace outboard::lab
