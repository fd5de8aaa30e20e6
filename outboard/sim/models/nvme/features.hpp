// Features: what Get Features and Set Features are about (NVM Express base specification 1.4, 5.13, 5.21).
#pragma once

#include "outboard/sim/models/nvme/commands.hpp"
#include "outboard/sim/models/nvme/namespaces.hpp"
#include "outboard/sim/models/nvme/outcome.hpp"

#include <atomic>
#include <cstdint>
#include <vector>

namespace outboard::sim::nvme {

/// Kelvin.
inline constexpr std::uint16_t temperature = 273 + 40;
inline constexpr std::uint16_t warning_temperature = 273 + 70;
inline constexpr std::uint16_t critical_temperature = 273 + 80;

/// The values; none of them outlives a reset.
class Features {
  public:
    /// `namespaces` outlives it; `queue_pairs` and `vectors` are what the controller has.
    Features(Namespaces& namespaces, unsigned queue_pairs, unsigned vectors);

    /// From now on no more than so many queue pairs are granted, at least one. Any thread.
    void grant(unsigned pairs) noexcept { granted_ = pairs; }

    Outcome get(const SubmissionEntry& command) const noexcept;
    /// `queues_exist`: I/O queues were made already, so that their number is settled.
    Outcome set(const SubmissionEntry& command, bool queues_exist) noexcept;
    void reset();

    bool write_cache() const noexcept { return write_cache_; }
    /// How many I/O queues of a kind may be made.
    unsigned submission_queues() const noexcept { return submission_queues_; }
    unsigned completion_queues() const noexcept { return completion_queues_; }
    /// The temperature is beyond a threshold.
    bool temperature_warning() const noexcept;
    /// The warnings of the health log that are wanted as events, by their bits there.
    std::uint8_t wanted_warnings() const noexcept { return static_cast<std::uint8_t>(async_events_); }
    std::uint32_t coalescing() const noexcept { return coalescing_; }
    /// Interrupts of this vector are not coalesced.
    bool immediate(unsigned vector) const noexcept {
        return vector < vectors_.size() && (vectors_[vector] & vector_immediate) != 0;
    }

  private:
    static constexpr std::uint32_t vector_immediate = 1U << 16;

    Outcome current(const SubmissionEntry& command, FeatureId feature) const noexcept;
    Outcome original(const SubmissionEntry& command, FeatureId feature) const noexcept;
    Outcome set_temperature(std::uint32_t value) noexcept;
    Outcome set_error_recovery(const SubmissionEntry& command) noexcept;
    Outcome set_queues(std::uint32_t value, bool queues_exist) noexcept;

    Namespaces& namespaces_;
    unsigned queue_pairs_;
    std::atomic<unsigned> granted_{queue_pairs_};  ///< of these, at most
    std::vector<std::uint32_t> vectors_;
    std::uint32_t arbitration_ = 0;
    std::uint16_t over_ = warning_temperature;
    std::uint16_t under_ = 0;
    bool write_cache_ = false;
    unsigned submission_queues_ = 0;
    unsigned completion_queues_ = 0;
    std::uint32_t coalescing_ = 0;
    std::uint32_t atomicity_ = 0;
    std::uint32_t async_events_ = 0;
};

}  // namespace outboard::sim::nvme
