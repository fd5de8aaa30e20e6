#include "outboard/sim/fault_injector.hpp"

#include "outboard/base/error.hpp"

#include <exception>
#include <string>

#include <fmt/format.h>

namespace outboard::sim {

namespace {

/// SplitMix64: small, and every seed gives a sequence of its own.
std::uint64_t next_random(std::uint64_t& state) noexcept {
    state += 0x9e3779b97f4a7c15U;
    std::uint64_t value = state;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9U;
    value = (value ^ value >> 27) * 0x94d049bb133111ebU;
    return value ^ value >> 31;
}

}  // namespace

FaultInjector::FaultInjector() {
    follow({});
}

void FaultInjector::follow(const FaultPlan& plan) {
    armed_ = 0;
    for (std::size_t i = 0; i < fault_kinds; ++i) {
        kinds_[i] = {.rule = {.kind = static_cast<FaultKind>(i)}, .seen = 0, .left = 0, .state = plan.seed};
        // Apart from the other kinds: neighbouring numbers would give sequences that overlap.
        for (std::size_t skipped = 0; skipped <= i; ++skipped)
            kinds_[i].state = next_random(kinds_[i].state);
    }
    for (const FaultRule& rule : plan.rules) {
        const auto index = static_cast<std::size_t>(rule.kind);
        const std::uint32_t bit = 1U << index;
        if ((armed_ & bit) != 0)
            throw Error({.kind = ErrorKind::usage,
                         .action = "use",
                         .subject = "the fault plan",
                         .cause = fmt::format("it has two rules for {}", name_of(rule.kind)),
                         .remedy = "give one rule for each kind"});
        armed_ |= bit;
        kinds_[index].rule = rule;
        kinds_[index].left = rule.count;
    }
}

std::uint64_t FaultInjector::struck() const noexcept {
    std::uint64_t total = 0;
    for (const auto& count : struck_)
        total += count.load(std::memory_order_acquire);
    return total;
}

std::optional<Strike> FaultInjector::decide(FaultKind kind) noexcept {
    const auto index = static_cast<std::size_t>(kind);
    Kind& state = kinds_[index];
    // Drawn at every opportunity, so that a fault that was ordered does not shift what the plan does later.
    const std::uint64_t chance = next_random(state.state);
    const std::uint64_t random = next_random(state.state);
    ++state.seen;
    const bool planned = state.left > 0 && state.seen > state.rule.after && chance % state.rule.one_in == 0;
    if (!take_back(kind) && !planned)
        return std::nullopt;
    if (planned)
        --state.left;
    ++number_;
    struck_[index].fetch_add(1, std::memory_order_release);
    if (log_) {
        try {
            log_(fmt::format("fault {}: {}", number_, name_of(kind)));
        } catch (const std::exception&) {
            // A log that cannot be written changes nothing about the fault; it is counted.
            return Strike{.number = number_, .random = random, .delay_us = state.rule.delay_us};
        }
    }
    return Strike{.number = number_, .random = random, .delay_us = state.rule.delay_us};
}

}  // namespace outboard::sim
