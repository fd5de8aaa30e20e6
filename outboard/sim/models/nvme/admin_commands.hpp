// The admin command set (NVM Express base specification 1.4, clause 5).
#pragma once

#include "outboard/sim/models/nvme/commands.hpp"
#include "outboard/sim/models/nvme/outcome.hpp"
#include "outboard/sim/models/nvme/state.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace outboard::sim::nvme {

/// What admin commands ask of the controller.
class AdminHost {
  public:
    /// Ends a delayed command of a queue with this status.
    virtual void abort(SubmissionQueue& queue, const SubmissionEntry& command, StatusCode status) = 0;
    /// How many interrupt vectors the client has enabled.
    virtual unsigned interrupt_vectors() noexcept = 0;
    /// CC has the entry sizes of I/O queues.
    virtual bool entry_sizes_are_set() const noexcept = 0;

  protected:
    ~AdminHost() = default;
};

class AdminCommands {
  public:
    /// Both outlive it.
    AdminCommands(State& state, AdminHost& host) : state_(state), host_(host) {}

    Outcome execute(const SubmissionEntry& command);

  private:
    Outcome create_completion_queue(const SubmissionEntry& command);
    Outcome create_submission_queue(const SubmissionEntry& command);
    Outcome delete_completion_queue(const SubmissionEntry& command);
    Outcome delete_submission_queue(const SubmissionEntry& command);
    Outcome get_log_page(const SubmissionEntry& command);
    Outcome identify(const SubmissionEntry& command);
    Outcome abort(const SubmissionEntry& command);
    Outcome set_features(const SubmissionEntry& command);
    Outcome add_event_request(const SubmissionEntry& command);
    Outcome use_doorbell_buffers(const SubmissionEntry& command);

    StatusCode check_queue(const SubmissionEntry& command) const noexcept;
    Outcome send(const SubmissionEntry& command, std::span<const std::byte> data);

    State& state_;
    AdminHost& host_;
};

}  // namespace outboard::sim::nvme
