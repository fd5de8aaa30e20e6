// What goes wrong with a simulated device, and when: a list of rules with a seed, so that any run repeats.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace outboard::sim {

/// Kinds of fault. Which of them a device can have its model says.
enum class FaultKind : std::uint8_t {
    interrupt_drop,
    interrupt_duplicate,
    interrupt_delay,
    completion_drop,       ///< the command is carried out, and its end never told
    completion_duplicate,  ///< its end is told twice
    completion_delay,
    wrong_identifier,  ///< the end of a command that was not given
    wrong_phase,       ///< a queue entry that looks old although it is new, or the reverse
    wrong_head,        ///< a queue position that cannot be
    status_error,      ///< the command fails, with one of the errors the device can have
    dma_short,         ///< less is transferred than was asked for, with good status
    dma_misplaced,     ///< the transfer goes to an address that the driver did not give
    data_stale,        ///< what was written is not there: the last write is forgotten
    data_torn,         ///< a part of what was written is
    all_ones,          ///< every register reads as all ones from now on: the device was pulled out
    never_ready,       ///< busy from now on, until a reset
    queue_overwrite,   ///< the device writes over queue memory that is the driver's
    doorbell_ignored,  ///< a command is given and not seen
    reset_failure,     ///< a reset does not bring the device back
};
inline constexpr std::size_t fault_kinds = 19;

/// As plans and reports write it: "interrupt-drop".
std::string_view name_of(FaultKind kind) noexcept;
/// Nothing when no kind has that name.
std::optional<FaultKind> fault_kind(std::string_view name) noexcept;

/// When one kind of fault strikes. Its opportunities are counted from 1: every interrupt is one for
/// interrupt_drop, every command one for status_error, and so on.
struct FaultRule {
    FaultKind kind{};
    std::uint64_t after = 0;   ///< so many opportunities pass first
    std::uint64_t one_in = 1;  ///< then each strikes with the probability 1/one_in; at least 1
    std::uint64_t count = std::numeric_limits<std::uint64_t>::max();  ///< at most so often
    std::uint32_t delay_us = 1000;                                    ///< for the kinds that delay
};

struct FaultPlan {
    std::uint64_t seed = 1;
    std::vector<FaultRule> rules;
};

/// Reads a plan:
///
///     seed = 7
///     [[fault]]
///     kind = "interrupt-drop"
///     after = 100      # optional, as are the next three
///     one_in = 1000
///     count = 5
///     delay_us = 2000
///
/// `origin` names it in messages. Throws Error (kind usage) with line and column for what is wrong: syntax,
/// an unknown key or kind, a number out of range.
FaultPlan parse_fault_plan(std::string_view text, std::string_view origin);
/// The same of a file. Throws Error also when it cannot be read, or is larger than a MiB.
FaultPlan read_fault_plan(const std::filesystem::path& path);

/// Reads a rule as an option has it: "interrupt-drop,after=100,one_in=1000". Throws Error (kind usage).
FaultRule parse_fault_rule(std::string_view text);

}  // namespace outboard::sim
