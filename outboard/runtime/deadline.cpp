#include "outboard/runtime/deadline.hpp"

#include "outboard/base/error.hpp"

#include <string>

#include <fmt/format.h>

namespace outboard::detail {

namespace {

/// In the largest unit that needs no fraction.
std::string text(Duration duration) {
    using namespace std::chrono;
    const auto nanoseconds = duration_cast<std::chrono::nanoseconds>(duration).count();
    if (nanoseconds % 1'000'000'000 == 0)
        return fmt::format("{} s", nanoseconds / 1'000'000'000);
    if (nanoseconds % 1'000'000 == 0)
        return fmt::format("{} ms", nanoseconds / 1'000'000);
    return fmt::format("{} us", static_cast<double>(nanoseconds) / 1e3);
}

}  // namespace

void throw_not_finished(std::string_view what, Duration limit) {
    throw Error({ErrorKind::timed_out, "finish", std::string(what), "no answer within " + text(limit), ""});
}

void throw_not_true(std::string_view what, Duration limit) {
    throw Error({ErrorKind::timed_out, "see", std::string(what), "not so within " + text(limit), ""});
}

}  // namespace outboard::detail
