// `--fault` words and the values of a simulated device's options.
#include "outboard/sim/fault_plan.hpp"
#include "outboard/sim/model_options.hpp"

#include <array>
#include <limits>
#include <string>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"
#include <fmt/format.h>

namespace outboard::fuzz {
namespace {

std::string written(const sim::FaultRule& rule) {
    return fmt::format("{},after={},one_in={},count={},delay_us={}", sim::name_of(rule.kind), rule.after,
                       rule.one_in, rule.count, rule.delay_us);
}

void read_rule(std::string_view text) {
    const auto parse = [](std::string_view word) {
        return accepted([&] { return sim::parse_fault_rule(word); }, ErrorKind::usage);
    };
    const auto rule = parse(text);
    if (!rule)
        return;
    require(rule->one_in >= 1, "one_in is at least 1");
    const auto again = parse(written(*rule));
    require(again && written(*again) == written(*rule), "a rule that is written out is the same rule");
}

void read_values(std::string_view text) {
    static constexpr std::array described{
        sim::OptionDescription{.name = "value", .value = "", .help = "Any text"}};
    sim::ModelOptions options(described);
    options.set("value", std::string(text));
    require(options.text("value") == text, "a text is taken as it is");
    const auto number = accepted([&] { return options.number("value"); }, ErrorKind::usage);
    if (number) {
        options.set("value", std::to_string(*number));
        require(options.number("value") == *number, "a number that is written out is the same number");
        options.set("value", std::string(text));
    }
    const auto bytes = accepted([&] { return options.bytes("value"); }, ErrorKind::usage);
    if (bytes) {
        options.set("value", std::to_string(*bytes));
        require(options.bytes("value") == *bytes, "a size that is written out is the same size");
        options.set("value", std::string(text));
    }
    const auto duration = accepted([&] { return options.duration("value"); }, ErrorKind::usage);
    require(!duration || *duration >= Duration::zero(), "no duration is negative");
    const auto flag = accepted([&] { return options.flag("value"); }, ErrorKind::usage);
    require(!flag || text == (*flag ? "on" : "off"), "a flag is on or off");
}

}  // namespace

void run(Input input) {
    const std::string_view text = input.take_text();
    read_rule(text);
    read_values(text);
}

}  // namespace outboard::fuzz
