// Files of sysfs and procfs with any text in them: the inventory of PCI devices and who uses one; pci.ids.
#include "outboard/backend/pci/names.hpp"
#include "outboard/backend/pci/usage.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"
#include "tests/support/fake_machine.hpp"

namespace outboard::fuzz {
namespace {

constexpr const char* address = "0000:00:04.0";

/// A machine with a disk in use, a network card that is up and a process that has a node open; made once.
struct Machine {
    Machine() {
        machine.add({.address = address, .driver = "ata_piix", .group = 4});
        const auto disk = machine.add_block(machine.device_path(address) / "ata1/block", "sda", "8:0");
        const auto partition = machine.add_block(disk, "sda1", "8:1");
        const auto mapped = machine.add_block(machine.paths().sys / "devices/virtual/block", "dm-0", "254:0");
        std::filesystem::create_directory_symlink(mapped, partition / "holders/dm-0");
        machine.add_interface(machine.device_path(address), "eth0", "0x1003");
        machine.add_process(77, "reader", "/dev/sda");
        machine.add_mount("254:0", "/home", "/dev/mapper/home");
        machine.add_swap("/dev/sda1");
        const auto device = machine.device_path(address);
        files = {device / "resource",
                 device / "class",
                 device / "vendor",
                 device / "reset_method",
                 device / "net/eth0/flags",
                 disk / "dev",
                 disk / "uevent",
                 mapped / "dev",
                 machine.paths().proc / "self/mountinfo",
                 machine.paths().proc / "swaps",
                 machine.paths().proc / "77/comm"};
        for (const auto& file : files)
            texts.push_back(try_read_text(file).value_or(""));
    }

    test::FakeMachine machine;
    std::vector<std::filesystem::path> files;
    std::vector<std::string> texts;
};

void read_machine(unsigned which, const std::string& text) {
    static Machine machine;
    test::FakeMachine::put(machine.files[which], text);
    const Inventory inventory = machine.machine.inventory();
    const std::vector<PciDevice> devices = inventory.devices();
    require(devices.size() == 1 && devices.front().address.text() == address, "the device is there");
    // What the text does not speak of is seen all the same.
    require(!device_users(inventory, devices.front()).empty(), "the device is in use");
    test::FakeMachine::put(machine.files[which], machine.texts[which]);
}

}  // namespace

void run(Input input) {
    const unsigned which = input.below(12);
    const std::string text(input.take_text());
    if (which < 11) {
        read_machine(which, text);
        return;
    }
    const PciNames names(text);
    const PciIdentity identity{.vendor = 0x8086, .device = 0x7010, .base_class = 1, .sub_class = 1};
    require(!names.device(identity).empty() && !names.device_class(identity).empty(),
            "everything has a name");
}

}  // namespace outboard::fuzz
