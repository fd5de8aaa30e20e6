// The NVM command set (NVM Express base specification 1.4, clause 6).
#pragma once

#include "outboard/sim/models/nvme/commands.hpp"
#include "outboard/sim/models/nvme/features.hpp"
#include "outboard/sim/models/nvme/logs.hpp"
#include "outboard/sim/models/nvme/namespaces.hpp"
#include "outboard/sim/models/nvme/transfer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace outboard::sim::nvme {

/// Carries out one command after the other.
class IoCommands {
  public:
    /// All outlive it.
    IoCommands(Namespaces& namespaces, const Features& features, Transfer& transfer,
               HealthCounters& counters);

    /// Allocates nothing.
    StatusCode execute(const SubmissionEntry& command);

  private:
    StatusCode flush(const SubmissionEntry& command);
    StatusCode read(Namespace& name_space, const SubmissionEntry& command);
    StatusCode write(Namespace& name_space, const SubmissionEntry& command);
    StatusCode compare(Namespace& name_space, const SubmissionEntry& command);
    StatusCode write_zeroes(Namespace& name_space, const SubmissionEntry& command);
    StatusCode deallocate_ranges(Namespace& name_space, const SubmissionEntry& command);

    StatusCode begin(const Namespace& name_space, const SubmissionEntry& command);
    StatusCode read_failed() noexcept;
    Durability durability(const SubmissionEntry& command) const noexcept;

    Namespaces& namespaces_;
    const Features& features_;
    Transfer& transfer_;
    HealthCounters& counters_;
    std::vector<std::byte> stored_;  ///< what Compare compares with
};

}  // namespace outboard::sim::nvme
