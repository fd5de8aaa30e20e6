// What the controller tells unasked: interrupts of the admin queue, and asynchronous events (NVM Express Base
// Specification 2.0, 5.2).
#include "outboard/base/bytes.hpp"
#include "outboard/base/endian.hpp"
#include "outboard/base/error.hpp"
#include "outboard/drivers/nvme/controller.hpp"
#include "outboard/drivers/nvme/health_log.hpp"

#include <string>
#include <utility>

#include <fmt/format.h>

namespace outboard::nvme {

namespace {

/// Bits 2:0 of an event's dword 0.
enum class EventType : std::uint8_t { error = 0, health = 1, notice = 2 };
constexpr unsigned namespace_changed = 0;  ///< bits 15:8 of a notice

constexpr std::uint32_t changed_list_bytes = 4096;

/// Asynchronous Event Configuration (Base 5.27.1.8): critical warnings 7:0, namespace attributes 8.
constexpr std::uint32_t health_events = 0x1f;
constexpr std::uint32_t namespace_events = 1U << 8;

/// Of a critical warning, which may also have gone.
std::string describe_change(unsigned bits) {
    std::string text;
    for (const std::string& warning : describe_warnings(bits))
        text += (text.empty() ? "" : ", ") + warning;
    return text.empty() ? "no warning any more" : text;
}

}  // namespace

/// Serves the vector of the admin queue. INTx is the I/O queue's as well, and stays high until the heads of
/// both completion queues were moved, so only then is it unmasked.
Task<void> Controller::serve_interrupts() {
    for (;;) {
        const int result = co_await interrupt_watch_->next();
        admin_.look();
        attention_.wake();
        if (interrupt_kind_ == InterruptKind::intx) {
            for (const Lending& lending : queues_)
                lending.queue->absorb();
            // A doorbell may still be on its way to the controller; a read returns only after it has arrived.
            static_cast<void>(registers_.read<ControllerStatus>());
        }
        if (const int error = result < 0 ? -result : interrupts_.front().unmask(); error != 0) {
            tell(fmt::format("{}: the interrupt of its admin queue cannot be used any more ({})", name_,
                             errno_text(error)));
            // Where it is the line of the I/O queue too, that one has no other.
            if (interrupt_kind_ == InterruptKind::intx)
                for (const Lending& lending : queues_)
                    lending.queue->expect_no_interrupt();
            break;
        }
    }
}

Task<void> Controller::request_events() {
    const std::uint32_t events = health_events | (identity_.namespace_events ? namespace_events : 0);
    Task<AdminResult> setting = admin_.send(set_features(Feature::asynchronous_events, events),
                                            limits_.command, "Set Features (asynchronous events)");
    // A controller that refuses has its own choice of events.
    static_cast<void>(co_await std::move(setting));
    admin_.request_event();
}

/// Reading its log page acknowledges an event; another one of its kind may come then.
Task<void> Controller::handle_event(std::uint32_t event) {
    const auto type = static_cast<EventType>(event & 7);
    const unsigned information = event >> 8 & 0xff;
    const auto log = static_cast<LogPage>(event >> 16 & 0xff);
    std::uint32_t bytes = error_entry_bytes;
    if (log == LogPage::health)
        bytes = health_log_bytes;
    else if (log == LogPage::changed_namespaces)
        bytes = changed_list_bytes;
    Task<AdminResult> reading =
        admin_.send(get_log_page(log, bytes, page_.iova()), limits_.command, "Get Log Page");
    const AdminResult read = co_await std::move(reading);
    const std::span<const std::byte> told = page_.span().bytes();
    if (!read.status.ok()) {
        tell(fmt::format("{}: event {:#010x}, of which it tells no more: {}", name_, event,
                         describe(read.status)));
    } else if (type == EventType::health && log == LogPage::health) {
        const unsigned temperature = read_at<Le16>(told, 1).value_or(0);
        tell(fmt::format("{}: {} ({} K)", name_, describe_change(std::to_integer<unsigned>(told[0])),
                         temperature));
    } else if (type == EventType::notice && information == namespace_changed) {
        for (const std::uint32_t id : parse_namespace_list(told.first<identify_bytes>()))
            tell(fmt::format("{}: namespace {} has changed; start the driver anew to see it", name_, id));
    } else {
        tell(fmt::format("{}: event {:#010x} (type {}, {:#04x}), log page {:02x}h", name_, event,
                         std::to_underlying(type), information, std::to_underlying(log)));
    }
    admin_.request_event();
}

}  // namespace outboard::nvme
