// A driver at work on a simulated device while one fault after the other strikes it.
#pragma once

#include "outboard/runtime/clock.hpp"
#include "outboard/sim/fault_plan.hpp"
#include "outboard/sim/model_options.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

namespace outboard {

struct CampaignOptions {
    const sim::ModelDescription* model = nullptr;  ///< null: another process serves the device
    std::vector<sim::FaultKind> kinds;             ///< empty: all that the device can have
    std::uint64_t count = 1000;                    ///< faults that strike
    std::uint64_t seed = 1;
    std::filesystem::path socket;  ///< where the device is served
    /// Deadline of one command. Far more than the device takes, and far less than the driver's own default: a
    /// fault that swallows a command costs that much.
    std::chrono::milliseconds command_timeout{20};
};

/// What one fault led to.
struct FaultOutcome {
    sim::FaultKind kind{};
    bool failed_to_caller = false;  ///< a request failed; otherwise the driver got over it by itself
    bool corrupted = false;         ///< wrong data came with good status, after a fault that does just that
    bool reset_needed = false;      ///< the driver has reset the device
    bool reopened = false;          ///< the driver has given the device up, and another one was started
    std::uint32_t mismatches = 0;   ///< sectors with wrong data and good status after any other fault
    Duration recovery{};            ///< from the fault until every request that was under way had ended
};

/// Faults that make the device deliver, or store, wrong data and say that all is well.
bool may_corrupt(sim::FaultKind kind) noexcept;

/// Runs a campaign on the calling thread, a device of its own on another, and calls `each` after each fault.
/// What was on the disk is lost. Throws Error: timed_out when a request did not end (10 s), or whatever keeps
/// the driver from starting again.
void run_fault_campaign(const CampaignOptions& options, const std::function<void(const FaultOutcome&)>& each);

}  // namespace outboard
