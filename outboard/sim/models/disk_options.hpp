// What the models of disks have in common: the faults they can have, and options as a user states them.
#pragma once

#include "outboard/sim/fault_plan.hpp"
#include "outboard/sim/model_options.hpp"
#include "outboard/sim/storage.hpp"

#include <array>
#include <string>

namespace outboard::sim {

/// Of a disk with queues in memory that both sides go through in turns.
inline constexpr std::array queued_disk_faults{FaultKind::interrupt_drop,
                                               FaultKind::interrupt_duplicate,
                                               FaultKind::interrupt_delay,
                                               FaultKind::completion_drop,
                                               FaultKind::completion_duplicate,
                                               FaultKind::completion_delay,
                                               FaultKind::wrong_identifier,
                                               FaultKind::wrong_phase,
                                               FaultKind::wrong_head,
                                               FaultKind::status_error,
                                               FaultKind::dma_short,
                                               FaultKind::dma_misplaced,
                                               FaultKind::data_stale,
                                               FaultKind::data_torn,
                                               FaultKind::all_ones,
                                               FaultKind::never_ready,
                                               FaultKind::queue_overwrite,
                                               FaultKind::doorbell_ignored,
                                               FaultKind::reset_failure};

/// Where a disk's content is kept: in `file`, nowhere with `null`, else in memory. The caller states the
/// rest. Throws Error when it were both.
StorageOptions choose_medium(const ModelOptions& values, const std::string& file);

}  // namespace outboard::sim
