#include "outboard/base/error.hpp"

#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

std::string compose(const ErrorParts& parts) {
    std::string text = fmt::format("cannot {}", parts.action);
    if (!parts.subject.empty())
        text += " " + parts.subject;
    if (!parts.cause.empty())
        text += ": " + parts.cause;
    if (!parts.remedy.empty())
        text += "; " + parts.remedy;
    return text;
}

}  // namespace

Error::Error(ErrorParts parts) : std::runtime_error(compose(parts)), parts_(std::move(parts)) {}

std::string errno_text(int error_number) {
    const char* name = strerrorname_np(error_number);
    return fmt::format("{} ({})",
                       strerrordesc_np(error_number) ? strerrordesc_np(error_number) : "unknown error",
                       name ? name : std::to_string(error_number).c_str());
}

ErrorKind errno_kind(int error_number) noexcept {
    switch (error_number) {
        case EACCES:
        case EPERM:
            return ErrorKind::not_permitted;
        case EBUSY:
            return ErrorKind::busy;
        case ENOENT:
        case ENODEV:
        case ENXIO:
            return ErrorKind::not_found;
        case ENOSYS:
        case EOPNOTSUPP:
        case ENOTTY:
            return ErrorKind::unsupported;
        case EIO:
            return ErrorKind::io;
        case ETIMEDOUT:
        case ETIME:
            return ErrorKind::timed_out;
        default:
            return ErrorKind::failed;
    }
}

void throw_errno(int error_number, std::string_view action, std::string_view subject,
                 std::string_view remedy) {
    throw Error({.kind = errno_kind(error_number),
                 .action = std::string(action),
                 .subject = std::string(subject),
                 .cause = errno_text(error_number),
                 .remedy = std::string(remedy)});
}

}  // namespace outboard
