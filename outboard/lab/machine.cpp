#include "outboard/lab/machine.hpp"

#include "outboard/lab/channel.hpp"

#include <utility>

#include <fmt/format.h>

namespace outboard::lab {

namespace {

// Half of the boot of a distribution's kernel, emulated, is self tests of its cryptography and key rings,
// which a lab does not need.
constexpr const char* kernel_parameters =
    "console=ttyS0 quiet panic=-1 random.trust_cpu=on tsc=reliable no_timer_check cryptomgr.notests "
    "initcall_blacklist=jent_mod_init,crypto_kdf108_init,init_encrypted,load_system_certificate_list";

void replace_all(std::string& text, const std::string& from, const std::string& to) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
}

/// A path as part of an option: QEMU reads two commas as one that does not end the value.
std::string option_value(const std::filesystem::path& path) {
    std::string text = path.string();
    replace_all(text, ",", ",,");
    return text;
}

}  // namespace

std::filesystem::path disk_path(const Disk& disk, const std::filesystem::path& scratch) {
    return disk.file.empty() ? scratch / (disk.name + ".img") : std::filesystem::path(disk.file);
}

std::vector<std::string> qemu_arguments(const Machine& machine) {
    std::vector<std::string> result = machine.qemu;
    const auto add = [&](std::initializer_list<std::string> words) { result.insert(result.end(), words); };

    if (machine.accelerator == Accelerator::kvm)
        add({"-accel", "kvm", "-cpu", "host"});
    else
        add({"-accel", machine.deterministic ? "tcg,thread=single" : "tcg,thread=multi", "-cpu", "max"});
    if (machine.deterministic)
        add({"-icount", "shift=3"});
    add({"-machine", "q35,kernel-irqchip=split", "-smp",
         std::to_string(machine.deterministic ? 1 : machine.processors), "-m", machine.memory});
    // Before any device that it translates for.
    if (machine.iommu)
        add({"-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"});
    add({"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"});
    add({"-kernel", machine.kernel.string(), "-initrd", machine.initramfs.string(), "-append",
         fmt::format("{} {} {}", kernel_parameters, machine.iommu ? "intel_iommu=on" : "", machine.append)});
    add({"-chardev", fmt::format("file,id=lab-console,path={}", option_value(machine.run / "console.log")),
         "-serial", "chardev:lab-console"});
    add({"-chardev",
         fmt::format("socket,id=lab-monitor,path={},server=on,wait=off",
                     option_value(machine.scratch / "monitor")),
         "-mon", "chardev=lab-monitor,mode=readline"});
    add({"-device", "virtio-serial-pci,id=lab-serial,addr=1e", "-chardev",
         fmt::format("socket,id=lab-port,fd={}", machine.port), "-device",
         fmt::format("virtserialport,bus=lab-serial.0,nr=1,chardev=lab-port,name={}", port_name)});
    if (machine.gdb_port)
        add({"-chardev",
             fmt::format("socket,id=lab-gdb,host=127.0.0.1,port={},server=on,wait=off", *machine.gdb_port),
             "-device",
             fmt::format("virtserialport,bus=lab-serial.0,nr=2,chardev=lab-gdb,name={}", gdb_port_name)});
    for (std::string argument : machine.devices.arguments) {
        replace_all(argument, "@RUN@", option_value(machine.run));
        for (const Disk& disk : machine.devices.disks)
            replace_all(argument, fmt::format("@DISK:{}@", disk.name),
                        option_value(disk_path(disk, machine.scratch)));
        result.push_back(std::move(argument));
    }
    result.insert(result.end(), machine.arguments.begin(), machine.arguments.end());
    return result;
}

}  // namespace outboard::lab
