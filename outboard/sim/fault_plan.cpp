#include "outboard/sim/fault_plan.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

#include <fmt/format.h>

// toml++ 3.3 asserts of the text of a table's head what it checks only afterwards: "[{" would end a program
// that is built with assertions. Without them it is an error with its place.
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

namespace outboard::sim {

namespace {

constexpr std::array<std::string_view, fault_kinds> names{
    "interrupt-drop",   "interrupt-duplicate", "interrupt-delay",  "completion-drop", "completion-duplicate",
    "completion-delay", "wrong-identifier",    "wrong-phase",      "wrong-head",      "status-error",
    "dma-short",        "dma-misplaced",       "data-stale",       "data-torn",       "all-ones",
    "never-ready",      "queue-overwrite",     "doorbell-ignored", "reset-failure"};

constexpr std::uint64_t longest_delay_us = 60'000'000;
constexpr std::uintmax_t largest_file = 1024 * 1024;

[[noreturn]] void throw_bad(std::string_view subject, std::string cause) {
    throw Error({.kind = ErrorKind::usage,
                 .action = "read",
                 .subject = std::string(subject),
                 .cause = std::move(cause),
                 .remedy = "docs/sim.md says what a fault plan is"});
}

std::string known_kinds() {
    std::string list;
    for (const std::string_view name : names)
        list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
    return list;
}

FaultKind require_kind(std::string_view name, std::string_view where) {
    if (const auto kind = fault_kind(name))
        return *kind;
    throw_bad(where, fmt::format("there is no kind of fault '{}'; there are {}", name, known_kinds()));
}

/// Puts a number into the rule. False when no such number is in a rule, or it is out of range.
bool set(FaultRule& rule, std::string_view key, std::uint64_t value) {
    if (key == "after")
        rule.after = value;
    else if (key == "one_in" && value >= 1)
        rule.one_in = value;
    else if (key == "count")
        rule.count = value;
    else if (key == "delay_us" && value <= longest_delay_us)
        rule.delay_us = static_cast<std::uint32_t>(value);
    else
        return false;
    return true;
}

std::string place(std::string_view origin, const toml::source_region& source) {
    return fmt::format("{}, line {}, column {}", origin, source.begin.line, source.begin.column);
}

/// The text with a '?' for each byte beyond ASCII, of which a plan needs none but in comments: toml++ 3.3
/// must not meet most of them where white space may be (its table of Unicode white space ends in undefined
/// behaviour).
std::string in_ascii(std::string_view text) {
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    if (text.starts_with(byte_order_mark))
        text.remove_prefix(byte_order_mark.size());
    std::string plain(text);
    std::ranges::replace_if(plain, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
    return plain;
}

FaultRule rule_of(const toml::table& table, std::string_view origin) {
    const auto kind = table["kind"].value<std::string>();
    if (!kind)
        throw_bad(place(origin, table.source()), "a fault needs a kind, which is a text");
    FaultRule rule;
    rule.kind = require_kind(*kind, place(origin, table["kind"].node()->source()));
    for (const auto& [key, node] : table) {
        if (key == "kind")
            continue;
        const auto number = node.value_exact<std::int64_t>();
        if (!number || *number < 0 || !set(rule, key.str(), static_cast<std::uint64_t>(*number)))
            throw_bad(
                place(origin, node.source()),
                fmt::format("'{}' is no number of a fault, or out of range; they are after, one_in (1 or "
                            "more), count, delay_us (at most {})",
                            key.str(), longest_delay_us));
    }
    return rule;
}

}  // namespace

std::string_view name_of(FaultKind kind) noexcept {
    return names[static_cast<std::size_t>(kind)];
}

std::optional<FaultKind> fault_kind(std::string_view name) noexcept {
    const auto* const found = std::ranges::find(names, name);
    if (found == names.end())
        return std::nullopt;
    return static_cast<FaultKind>(found - names.begin());
}

FaultPlan parse_fault_plan(std::string_view text, std::string_view origin) {
    toml::table document;
    try {
        document = toml::parse(in_ascii(text), origin);
    } catch (const toml::parse_error& error) {
        throw_bad(place(origin, error.source()), std::string(error.description()));
    }
    FaultPlan plan;
    for (const auto& [key, node] : document) {
        if (key == "seed") {
            const auto seed = node.value_exact<std::int64_t>();
            if (!seed || *seed < 0)
                throw_bad(place(origin, node.source()), "the seed is a number that is not negative");
            plan.seed = static_cast<std::uint64_t>(*seed);
        } else if (key == "fault" && node.is_array_of_tables()) {
            for (const toml::node& fault : *node.as_array())
                plan.rules.push_back(rule_of(*fault.as_table(), origin));
        } else {
            throw_bad(place(origin, node.source()),
                      fmt::format("'{}' is unknown; a plan has a seed and [[fault]] tables", key.str()));
        }
    }
    return plan;
}

FaultPlan read_fault_plan(const std::filesystem::path& path) {
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    if (error)
        throw_errno(error.value(), "read", path.string());
    if (size > largest_file)
        throw_bad(path.string(), "it is larger than a MiB");
    return parse_fault_plan(read_text(path), path.string());
}

FaultRule parse_fault_rule(std::string_view text) {
    const std::string subject = fmt::format("the fault '{}'", text);
    std::size_t end = text.find(',');
    FaultRule rule;
    rule.kind = require_kind(text.substr(0, end), subject);
    while (end != std::string_view::npos) {
        const std::size_t begin = end + 1;
        end = text.find(',', begin);
        const std::string_view word = text.substr(begin, end == std::string_view::npos ? end : end - begin);
        const std::size_t equals = word.find('=');
        const std::string_view digits = equals == std::string_view::npos ? "" : word.substr(equals + 1);
        std::uint64_t value = 0;
        const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size() ||
            !set(rule, word.substr(0, equals), value))
            throw_bad(subject,
                      fmt::format("'{}' is not after=, one_in= (1 or more), count= or delay_us= (at most "
                                  "{}) with a number",
                                  word, longest_delay_us));
    }
    return rule;
}

}  // namespace outboard::sim
