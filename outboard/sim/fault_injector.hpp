// Decides at each opportunity whether a fault strikes, and keeps the count.
#pragma once

#include "outboard/sim/fault_plan.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

namespace outboard::sim {

/// A fault that strikes now.
struct Strike {
    std::uint64_t number = 0;    ///< of all faults of this device, from 1
    std::uint64_t random = 0;    ///< the same in every run: for what the model has to choose
    std::uint32_t delay_us = 0;  ///< for the kinds that delay
};

/// Each kind draws from random numbers of its own, so that whether a fault strikes depends on the seed and on
/// how many opportunities of its own kind came before. Used by the thread that serves the device, but for
/// order() and the counts.
class FaultInjector {
  public:
    /// Without a plan only what is ordered strikes.
    FaultInjector();

    /// Follows a plan from here on, from its beginning. Before the device is served. Throws Error (kind
    /// usage) when two rules are of one kind.
    void follow(const FaultPlan& plan);

    /// One opportunity. Nothing: all goes well. Costs a load where no rule is of this kind.
    std::optional<Strike> strike(FaultKind kind) noexcept {
        if (!may_strike(kind)) [[likely]]
            return std::nullopt;
        return decide(kind);
    }

    /// False: an opportunity of this kind, or of any, would pass now.
    bool may_strike(FaultKind kind) const noexcept {
        return (expected() >> static_cast<unsigned>(kind) & 1) != 0;
    }
    bool may_strike() const noexcept { return expected() != 0; }

    /// The next opportunity of this kind strikes, whatever the plan says. Any thread.
    void order(FaultKind kind) noexcept {
        ordered_.fetch_or(1U << static_cast<unsigned>(kind), std::memory_order_relaxed);
    }
    /// Takes an order back; true when it had not struck yet. Any thread.
    bool take_back(FaultKind kind) noexcept {
        const std::uint32_t bit = 1U << static_cast<unsigned>(kind);
        return (ordered_.fetch_and(~bit, std::memory_order_relaxed) & bit) != 0;
    }

    /// How often a kind has struck. Any thread.
    std::uint64_t struck(FaultKind kind) const noexcept {
        return struck_[static_cast<std::size_t>(kind)].load(std::memory_order_acquire);
    }
    /// All kinds together. Any thread.
    std::uint64_t struck() const noexcept;

    /// Gets a line for each fault that strikes: "fault 17: interrupt-drop". On the serving thread.
    void set_log(std::function<void(std::string_view)> log) { log_ = std::move(log); }

  private:
    struct Kind {
        FaultRule rule;
        std::uint64_t seen = 0;
        std::uint64_t left = 0;
        std::uint64_t state = 0;  ///< of its random numbers
    };

    std::uint32_t expected() const noexcept { return armed_ | ordered_.load(std::memory_order_relaxed); }
    std::optional<Strike> decide(FaultKind kind) noexcept;

    std::array<Kind, fault_kinds> kinds_{};
    std::uint32_t armed_ = 0;
    std::atomic<std::uint32_t> ordered_{0};
    std::array<std::atomic<std::uint64_t>, fault_kinds> struck_{};
    std::uint64_t number_ = 0;
    std::function<void(std::string_view)> log_;
};

}  // namespace outboard::sim
