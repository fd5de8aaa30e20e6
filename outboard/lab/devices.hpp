// `--device`: from a name like "nvme" to QEMU's arguments, with addresses that tests can rely on.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace outboard::lab {

/// One `--device NAME[,key=value…]`, taken apart.
struct DeviceOption {
    std::string name;
    std::vector<std::pair<std::string, std::string>> properties;  ///< a key without '=' has the value "on"

    /// Removes a property and returns its value; `fallback` when there is none.
    std::string take(const std::string& key, const std::string& fallback = {});
};

/// Takes "nvme,size=64M" apart. Throws Error when there is no name.
DeviceOption parse_device(const std::string& text);

/// Bytes of a size such as "512", "64K", "10M", "1G". Throws Error.
std::uint64_t parse_size(const std::string& text);

/// A disk of a device, made by the runner before QEMU starts.
struct Disk {
    std::string file;            ///< an existing image; empty: a new sparse file of `size` bytes
    std::uint64_t size = 0;      ///< of the new file, in bytes
    std::string name;            ///< "ide0"; the new file's name
    std::string blkdebug;        ///< configuration of QEMU's fault injector; empty: none
    std::string format = "raw";  ///< of an existing image
};

/// What a list of devices means for QEMU and for the guest.
struct Devices {
    std::vector<std::string> arguments;  ///< for QEMU; @DISK:NAME@ stands for the path of a disk image, @RUN@
                                         ///< for the run directory
    std::vector<Disk> disks;
    /// Name and PCI address of each device that the lab placed: {"nvme0", "0000:01:00.0"}.
    std::vector<std::pair<std::string, std::string>> addresses;
};

/// Lays devices out. Devices of a name that is no preset go to QEMU's -device unchanged. Throws Error when a
/// property cannot be understood or a controller has no place left.
Devices lay_out(const std::vector<std::string>& options);

/// One line a preset: its name, where it is found, what it is. For --help and the documentation.
std::string preset_table();

}  // namespace outboard::lab
