// The lab: a machine for driver work.
#pragma once

#include "outboard/lab/initramfs.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace outboard::lab {

/// What the options of `outboard lab` say.
struct LabOptions {
    std::filesystem::path cache;       ///< directory of the parts; empty: lab_directory() decides
    std::vector<std::string> kernels;  ///< as choose_kernel() takes them; to run, exactly one
    std::string qemu = "auto";         ///< "auto", "newer", a suite, or the path of a program
    std::string accelerator = "auto";  ///< "auto", "kvm", "tcg"
    bool deterministic = false;
    bool iommu = true;
    unsigned processors = 2;
    std::string memory = "1G";
    std::string append;
    std::vector<std::string> devices;
    std::vector<std::string> qemu_arguments;
    ModuleWishes modules;
    std::vector<std::string> files;     ///< "SRC[:DEST]" to copy in
    std::vector<std::string> get;       ///< "GUESTPATH[:DEST]" to copy out
    std::vector<std::string> programs;  ///< programs of the host for the guest's PATH
    std::string script;                 ///< a script of the host to run; empty: none
    std::vector<std::string> command;   ///< its words; one word is a line for sh; none: a shell
    std::chrono::seconds deadline{600};
    std::optional<int> gdb_port;  ///< run the command under gdbserver, reached at this TCP port; 0: any
    std::string gdb_attach;       ///< attach gdbserver to this process instead
    bool unprivileged = false;
    bool keep = false;     ///< keep new disk images
    bool verbose = false;  ///< show the console and QEMU's command line
    bool capture = false;  ///< collect the command's output in the result
};

/// What a run gave.
struct LabResult {
    int exit_status = 0;
    bool deadline_came = false;
    std::string kernel;              ///< release
    std::string qemu;                ///< program
    std::string accelerator;         ///< "tcg" or "kvm"
    double boot_seconds = 0;         ///< from the call to the start of the command, with the parts present
    double seconds = 0;              ///< from the call to the end
    std::string output;              ///< with LabOptions::capture
    std::string error_output;        ///< with LabOptions::capture
    std::vector<std::string> files;  ///< those that came back, by their paths on the host
    std::filesystem::path console;   ///< the console's log
};

/// Fetches and builds whatever the options need, without starting a machine. Throws Error.
void prepare_lab(const LabOptions& options);

/// Runs a command in a new machine. Throws Error when the lab itself fails; that the command fails is its
/// exit status.
LabResult run_lab(const LabOptions& options);

}  // namespace outboard::lab
