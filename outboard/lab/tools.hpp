// Programs that the guest gets from the machine or from Debian packages.
#pragma once

#include "outboard/lab/initramfs.hpp"

#include <filesystem>

namespace outboard::lab {

class AptArchive;

/// The tools of every guest: the machine's own where it has them, else from packages. fio is built once,
/// static, from Debian's source, because the packaged one needs 95 MB of libraries. `with_debugger` adds
/// gdbserver. The caller holds a PartsLock. Throws Error.
Tools find_tools(const std::filesystem::path& lab_directory, AptArchive& archive, bool with_debugger);

}  // namespace outboard::lab
