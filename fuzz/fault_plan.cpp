// Fault plans in TOML: a plan that is accepted and written out again is the same plan.
#include "outboard/sim/fault_plan.hpp"

#include <limits>
#include <string>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"
#include <fmt/format.h>

namespace outboard::fuzz {
namespace {

std::string written(const sim::FaultPlan& plan) {
    std::string text = fmt::format("seed = {}\n", plan.seed);
    for (const sim::FaultRule& rule : plan.rules) {
        text += fmt::format("[[fault]]\nkind = \"{}\"\nafter = {}\none_in = {}\ndelay_us = {}\n",
                            sim::name_of(rule.kind), rule.after, rule.one_in, rule.delay_us);
        if (rule.count != std::numeric_limits<std::uint64_t>::max())
            text += fmt::format("count = {}\n", rule.count);
    }
    return text;
}

}  // namespace

void run(Input input) {
    const auto parse = [](std::string_view text) {
        return accepted([&] { return sim::parse_fault_plan(text, "plan"); }, ErrorKind::usage);
    };
    const auto plan = parse(input.take_text());
    if (!plan)
        return;
    for (const sim::FaultRule& rule : plan->rules) {
        require(sim::fault_kind(sim::name_of(rule.kind)) == rule.kind, "the kind has a name");
        require(rule.one_in >= 1, "one_in is at least 1");
        require(rule.delay_us <= 60'000'000, "a delay is at most a minute");
    }
    const std::string text = written(*plan);
    const auto again = parse(text);
    require(again.has_value(), "what was accepted is accepted when written out");
    require(written(*again) == text, "and is the same plan");
}

}  // namespace outboard::fuzz
