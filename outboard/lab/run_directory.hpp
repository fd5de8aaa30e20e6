// Where one run keeps its logs, and what it needs only while it runs.
#pragma once

#include "outboard/lab/devices.hpp"

#include <filesystem>
#include <vector>

namespace outboard::lab {

/// The directories of one run. Logs stay for a day; the scratch directory, with new disk images, goes with
/// this object.
class RunDirectory {
  public:
    /// Makes both below `lab_directory`, or the scratch directory in memory (/dev/shm) when `disks` fit
    /// there. Removes what runs that were killed left behind. `keep` keeps the scratch directory. Throws
    /// Error.
    RunDirectory(const std::filesystem::path& lab_directory, const std::vector<Disk>& disks, bool keep);
    RunDirectory(const RunDirectory&) = delete;
    RunDirectory& operator=(const RunDirectory&) = delete;
    ~RunDirectory();

    const std::filesystem::path& logs() const noexcept { return logs_; }
    const std::filesystem::path& scratch() const noexcept { return scratch_; }

  private:
    std::filesystem::path logs_;
    std::filesystem::path scratch_;
    bool keep_;
};

}  // namespace outboard::lab
