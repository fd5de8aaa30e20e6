#include "outboard/sim/model_options.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace outboard::sim {

namespace {

using namespace std::chrono_literals;

/// The number that `text` starts with, which is cut off; nothing when there is none or it is too large.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    int base = 10;
    if (text.starts_with("0x")) {
        base = 16;
        text.remove_prefix(2);
    }
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc())
        return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

/// The value times what its unit stands for; nothing when it is not of that form, or too large.
template <std::size_t Count>
std::optional<std::uint64_t> scaled(
    std::string_view text, const std::array<std::pair<std::string_view, std::uint64_t>, Count>& units) {
    const auto number = take_number(text);
    if (!number)
        return std::nullopt;
    for (const auto& [unit, factor] : units)
        if (text == unit && *number <= std::numeric_limits<std::int64_t>::max() / factor)
            return *number * factor;
    return std::nullopt;
}

}  // namespace

ModelOptions::ModelOptions(std::span<const OptionDescription> options) {
    for (const OptionDescription& option : options)
        values_.emplace(option.name, option.value);
}

void ModelOptions::set(std::string_view name, std::string value) {
    values_.insert_or_assign(std::string(name), std::move(value));
}

const std::string& ModelOptions::text(std::string_view name) const {
    return values_.find(name)->second;
}

void ModelOptions::refuse(std::string_view name, std::string_view cause) const {
    throw Error({.kind = ErrorKind::usage,
                 .action = "use",
                 .subject = fmt::format("--{} {}", name, text(name)),
                 .cause = std::string(cause),
                 .remedy = {}});
}

std::uint64_t ModelOptions::number(std::string_view name, std::uint64_t most) const {
    std::string_view rest = text(name);
    const auto number = take_number(rest);
    if (!number || !rest.empty())
        refuse(name, "it is not a number, such as 4096 or 0x1000");
    if (*number > most)
        refuse(name, fmt::format("it is more than {}", most));
    return *number;
}

std::uint64_t ModelOptions::bytes(std::string_view name) const {
    using Unit = std::pair<std::string_view, std::uint64_t>;
    static constexpr std::array units{Unit{"", 1}, Unit{"K", 1ULL << 10}, Unit{"M", 1ULL << 20},
                                      Unit{"G", 1ULL << 30}, Unit{"T", 1ULL << 40}};
    const auto value = scaled(text(name), units);
    if (!value)
        refuse(name, "it is not a size, such as 4096, 64K or 1G");
    return *value;
}

Duration ModelOptions::duration(std::string_view name) const {
    using Unit = std::pair<std::string_view, std::uint64_t>;
    static constexpr std::array units{Unit{"ns", 1}, Unit{"us", 1000}, Unit{"ms", 1'000'000},
                                      Unit{"s", 1'000'000'000}};
    const auto value = scaled(text(name), units);
    if (!value)
        refuse(name, "it is not a time, such as 10us, 100ms or 2s");
    return std::chrono::nanoseconds(*value);
}

bool ModelOptions::flag(std::string_view name) const {
    const std::string& value = text(name);
    if (value != "on" && value != "off")
        refuse(name, "it is not on or off");
    return value == "on";
}

std::vector<std::string> ModelOptions::parts(std::string_view name) const {
    const std::string& value = text(name);
    std::vector<std::string> found;
    for (std::size_t at = 0; !value.empty() && at <= value.size();) {
        const std::size_t comma = std::min(value.find(',', at), value.size());
        found.push_back(value.substr(at, comma - at));
        at = comma + 1;
    }
    return found;
}

ModelOptions ModelOptions::with_part(std::string_view name, std::size_t index, std::size_t count) const {
    ModelOptions one = *this;
    const std::vector<std::string> list = parts(name);
    if (list.size() > count)
        refuse(name, fmt::format("it has {} parts, which is more than there are to have one", list.size()));
    if (!list.empty())
        one.set(name, list[std::min(index, list.size() - 1)]);
    return one;
}

void require_possible(const FaultPlan& plan, const ModelDescription& model) {
    for (const FaultRule& rule : plan.rules) {
        if (std::ranges::find(model.faults, rule.kind) != model.faults.end())
            continue;
        std::string possible;
        for (const FaultKind kind : model.faults)
            possible += fmt::format("{}{}", possible.empty() ? "" : ", ", name_of(kind));
        throw Error({.kind = ErrorKind::usage,
                     .action = "simulate",
                     .subject = std::string(model.name),
                     .cause = fmt::format("it cannot have the fault {}", name_of(rule.kind)),
                     .remedy = fmt::format("it can have {}", possible.empty() ? "none" : possible)});
    }
}

}  // namespace outboard::sim
