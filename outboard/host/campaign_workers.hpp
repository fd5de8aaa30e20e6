// A fault campaign carried out by several processes side by side, so that a crash is counted and not
// suffered.
#pragma once

#include "outboard/host/fault_campaign.hpp"
#include "outboard/host/latency_histogram.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

namespace outboard {

struct KindCounts {
    std::uint64_t injected = 0;
    std::uint64_t recovered = 0;
    std::uint64_t failed_to_caller = 0;
    std::uint64_t corrupted = 0;  ///< of the injected: wrong data with good status, caught by the load
    std::uint64_t resets = 0;     ///< of the injected: the device was reset
    std::uint64_t reopened = 0;   ///< of the injected: the driver was started again
};

struct CampaignReport {
    std::array<KindCounts, sim::fault_kinds> kinds{};
    std::uint64_t faults = 0;
    std::uint64_t mismatches = 0;
    std::uint64_t hangs = 0;
    std::uint64_t crashes = 0;
    LatencyHistogram
        recovery;  ///< nanoseconds, of the faults after which the device was reset or opened again
    std::uint64_t memory_first_kib = 0;  ///< resident, of the largest worker, when a tenth was done
    std::uint64_t memory_last_kib = 0;   ///< and when nearly all was
};

/// Splits the campaign among `jobs` processes (one for a device that another process serves), which this one
/// forks: call it before it has threads. A worker
/// that crashes, or hangs for a minute, is counted and another one does what it left. `progress` gets the
/// part done, 0 … 1. Throws Error when a worker cannot do its work.
std::unique_ptr<CampaignReport> run_campaign_workers(const CampaignOptions& options, unsigned jobs,
                                                     const std::function<void(double)>& progress);

}  // namespace outboard
