// The QEMU command line of the lab's machine.
#pragma once

#include "outboard/lab/devices.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace outboard::lab {

/// How the machine's processors are made.
enum class Accelerator { tcg, kvm };

/// Everything that the command line says.
struct Machine {
    std::vector<std::string> qemu;  ///< the program, and arguments that the program itself needs
    Accelerator accelerator = Accelerator::tcg;
    bool deterministic = false;  ///< one processor, virtual time by counted instructions
    bool iommu = true;
    unsigned processors = 2;
    std::string memory = "1G";
    std::filesystem::path kernel;
    std::filesystem::path initramfs;
    std::string append;             ///< kernel parameters, beside the lab's own
    std::filesystem::path run;      ///< run directory: console.log, logs of serial ports
    std::filesystem::path scratch;  ///< new disk images, the monitor's socket
    int port = -1;                  ///< connected stream socket, inherited by QEMU: the lab's channel
    std::optional<int> gdb_port;    ///< TCP port on 127.0.0.1 for a debugger
    Devices devices;
    std::vector<std::string> arguments;  ///< raw, at the end
};

/// The path of a disk's image: an existing file's, or that of a new one in `scratch`.
std::filesystem::path disk_path(const Disk& disk, const std::filesystem::path& scratch);

/// QEMU's argument vector, the program first.
std::vector<std::string> qemu_arguments(const Machine& machine);

}  // namespace outboard::lab
