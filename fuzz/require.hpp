// What has to hold whatever the input is.
#pragma once

#include "outboard/base/error.hpp"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <source_location>
#include <utility>

namespace outboard::fuzz {

/// Ends the execution as a finding unless `holds`; `what` is a statement that turned out to be false.
inline void require(bool holds, const char* what,
                    const std::source_location& place = std::source_location::current()) {
    if (holds)
        return;
    std::fprintf(stderr, "%s:%u: does not hold: %s\n", place.file_name(), static_cast<unsigned>(place.line()),
                 what);
    std::abort();
}

/// What `parse()` gives; nothing when it refuses with an Error of `kind`. Whatever else it throws is a
/// finding.
template <class Parse>
auto accepted(Parse&& parse, ErrorKind kind) -> std::optional<decltype(parse())> {
    try {
        return std::forward<Parse>(parse)();
    } catch (const Error& error) {
        require(error.kind() == kind, "a refusal is of the documented kind");
        return std::nullopt;
    }
}

}  // namespace outboard::fuzz
