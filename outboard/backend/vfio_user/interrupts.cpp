// Interrupts of a VfioUserBackend.
#include "outboard/backend/vfio_user/vfio_user_backend.hpp"
#include "outboard/base/bytes.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

namespace outboard::vfio_user {

namespace {

const char* to_text(InterruptKind kind) noexcept {
    switch (kind) {
        case InterruptKind::intx:
            return "INTx";
        case InterruptKind::msi:
            return "MSI";
        case InterruptKind::msix:
            return "MSI-X";
    }
    return "unknown";
}

constexpr SetInterrupts request_of(InterruptKind kind, std::uint32_t flags, std::size_t start,
                                   std::size_t count) noexcept {
    return {.argument_size = sizeof(SetInterrupts),
            .flags = flags,
            .index = static_cast<std::uint32_t>(kind),
            .start = static_cast<std::uint32_t>(start),
            .count = static_cast<std::uint32_t>(count)};
}

}  // namespace

ServerInterrupts VfioUserBackend::ask_interrupts(InterruptKind kind) {
    vfio_user::InterruptInfo question{};
    question.argument_size = sizeof question;
    question.index = static_cast<std::uint32_t>(kind);
    Answer answer;
    const int error = connection_.ask({.command = Command::interrupt_info, .parts = {bytes_of(question)}},
                                      answer, options_.reply_limit);
    // A kind that this device does not have.
    if (error == EINVAL)
        return {};
    if (error != 0)
        connection_.throw_failure(error, fmt::format("ask about {} interrupts of", to_text(kind)));
    const auto parsed = parse_interrupt_info(answer.body, kind);
    if (!parsed)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "open",
                     .subject = name(),
                     .cause = fmt::format("the server's word cannot be relied on: {}", parsed.error()),
                     .remedy = {}});
    return *parsed;
}

void VfioUserBackend::set_interrupts(InterruptKind kind, std::span<const int> eventfds) {
    if (eventfds.empty()) {
        if (enabled_ == kind)
            if (const int error = disable_interrupts(); error != 0)
                connection_.throw_failure(error, fmt::format("disable {} of", to_text(kind)));
        return;
    }
    const std::string action = fmt::format("enable {} {} vectors of", eventfds.size(), to_text(kind));
    const auto refuse = [&](ErrorKind error, std::string cause, std::string remedy) {
        throw Error({.kind = error,
                     .action = action,
                     .subject = name(),
                     .cause = std::move(cause),
                     .remedy = std::move(remedy)});
    };
    if (enabled_ && enabled_ != kind)
        refuse(ErrorKind::failed, fmt::format("its {} interrupts are enabled", to_text(*enabled_)),
               "disable them first");
    const std::size_t batch = server().max_descriptors;
    if (batch == 0 || (interrupts(kind).all_at_once && eventfds.size() > batch))
        refuse(ErrorKind::unsupported, fmt::format("the server takes only {} descriptors at once", batch),
               batch == 0 ? "poll the device" : "use fewer");
    // A server that fails half-way has some of them already.
    enabled_ = kind;
    for (std::size_t start = 0; start < eventfds.size(); start += batch) {
        const auto part = eventfds.subspan(start, std::min(batch, eventfds.size() - start));
        if (const int error = send_eventfds(kind, start, part); error != 0) {
            static_cast<void>(disable_interrupts());
            connection_.throw_failure(error, action);
        }
    }
}

int VfioUserBackend::send_eventfds(InterruptKind kind, std::size_t start,
                                   std::span<const int> eventfds) noexcept {
    const SetInterrupts request =
        request_of(kind, set_flag::data_eventfd | set_flag::action_trigger, start, eventfds.size());
    return connection_.exchange(
        {.command = Command::set_interrupts, .parts = {bytes_of(request)}, .descriptors = eventfds}, {}, {},
        options_.reply_limit);
}

int VfioUserBackend::disable_interrupts() noexcept {
    if (!enabled_)
        return 0;
    const SetInterrupts request = request_of(*enabled_, set_flag::data_none | set_flag::action_trigger, 0, 0);
    enabled_.reset();
    return connection_.exchange({.command = Command::set_interrupts, .parts = {bytes_of(request)}}, {}, {},
                                options_.reply_limit);
}

int VfioUserBackend::mask_intx() noexcept {
    return interrupts(InterruptKind::intx).switchable ? switch_intx(set_flag::action_mask) : EOPNOTSUPP;
}

int VfioUserBackend::unmask_intx() noexcept {
    // What is never masked needs no unmasking.
    return interrupts(InterruptKind::intx).switchable ? switch_intx(set_flag::action_unmask) : 0;
}

int VfioUserBackend::switch_intx(std::uint32_t action) noexcept {
    const SetInterrupts request = request_of(InterruptKind::intx, set_flag::data_none | action, 0, 1);
    return connection_.exchange({.command = Command::set_interrupts, .parts = {bytes_of(request)}}, {}, {},
                                options_.reply_limit);
}

}  // namespace outboard::vfio_user
