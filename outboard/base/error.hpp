// Errors of set-up and control paths: what was tried, on what, why it failed, what to do about it.
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>

namespace outboard {

/// What sort of failure it is. The value is the exit status of the `outboard` command, so scripts can rely on
/// it.
enum class ErrorKind : int {
    failed = 1,         ///< anything that has no kind of its own
    usage = 2,          ///< the words of a command are wrong
    not_found = 3,      ///< no such device, file or name
    busy = 4,           ///< the device is in use by somebody else
    not_permitted = 5,  ///< rights or limits forbid it
    unsupported = 6,    ///< this kernel, machine or device lacks something
    io = 7,             ///< the device reported an error
    timed_out = 8,      ///< the device did not answer before its deadline
};

/// The parts of a message. `remedy` may be empty when nobody can do anything.
struct ErrorParts {
    ErrorKind kind = ErrorKind::failed;
    std::string action;   ///< what was tried, as an infinitive: "bind", "open the IOMMU group"
    std::string subject;  ///< on what: a full BDF, a path
    std::string cause;    ///< why it failed
    std::string remedy;   ///< what the reader can do, as an imperative
};

/// Thrown by every set-up and control path. `what()` is "cannot ACTION SUBJECT: CAUSE; REMEDY".
class Error : public std::runtime_error {
  public:
    explicit Error(ErrorParts parts);

    ErrorKind kind() const noexcept { return parts_.kind; }
    const ErrorParts& parts() const noexcept { return parts_; }
    int exit_status() const noexcept { return static_cast<int>(parts_.kind); }

  private:
    ErrorParts parts_;
};

/// The text of an errno value, with its name: "No such device (ENODEV)".
std::string errno_text(int error_number);

/// The kind that fits an errno value: EACCES and EPERM are not_permitted, EBUSY is busy, ENOENT is not_found
/// …
ErrorKind errno_kind(int error_number) noexcept;

/// Throws an Error whose cause is the text of `error_number` and whose kind is errno_kind(error_number).
[[noreturn]] void throw_errno(int error_number, std::string_view action, std::string_view subject,
                              std::string_view remedy = {});

}  // namespace outboard
