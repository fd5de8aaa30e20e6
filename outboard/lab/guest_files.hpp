// What goes into the guest for one run only, and what comes back.
#pragma once

#include "outboard/lab/devices.hpp"
#include "outboard/lab/file_set.hpp"
#include "outboard/lab/lab.hpp"

#include <filesystem>
#include <string>

namespace outboard::lab {

/// The part of the initramfs that is made for this run: files, programs, the script, and what the guest is to
/// do. `terminal`: its command gets a terminal. Throws Error when a file is missing.
FileSet run_files(const LabOptions& options, const Devices& devices, bool terminal);

/// Unpacks what came back for `guest_path`, a tar archive, to where `options.get` says, or into the working
/// directory; returns its path. `scratch` is for what is in between. Throws Error.
std::string unpack_file(const LabOptions& options, const std::string& guest_path, const std::string& archive,
                        const std::filesystem::path& scratch);

}  // namespace outboard::lab
