#include "outboard/sim/models/nvme/events.hpp"

#include <algorithm>
#include <utility>

namespace outboard::sim::nvme {

namespace {

std::uint32_t type_bit(Event event) noexcept {
    return 1U << (std::to_underlying(event) & 7);
}

LogPage log_page_of(Event event) noexcept {
    return static_cast<LogPage>(std::to_underlying(event) >> 16 & 0xff);
}

}  // namespace

bool AsyncEvents::add_request(std::uint16_t identifier) {
    if (requests_.size() + aborted_.size() >= max_requests)
        return false;
    requests_.push_back(identifier);
    return true;
}

bool AsyncEvents::abort_request(std::uint16_t identifier) {
    const auto found = std::ranges::find(requests_, identifier);
    if (found == requests_.end())
        return false;
    requests_.erase(found);
    aborted_.push_back(identifier);
    return true;
}

void AsyncEvents::raise(Event event) {
    if ((masked_ & type_bit(event)) == 0 && std::ranges::find(events_, event) == events_.end())
        events_.push_back(event);
}

void AsyncEvents::log_was_read(LogPage page) noexcept {
    for (const Event event : {Event::invalid_doorbell_value, Event::temperature})
        if (log_page_of(event) == page)
            masked_ &= ~type_bit(event);
}

std::optional<AsyncEvents::Answer> AsyncEvents::take() noexcept {
    if (!aborted_.empty()) {
        const Answer answer{.identifier = aborted_.back(), .event = {}};
        aborted_.pop_back();
        return answer;
    }
    if (requests_.empty() || events_.empty())
        return std::nullopt;
    const Event event = events_.front();
    const Answer answer{.identifier = requests_.front(), .event = event};
    requests_.erase(requests_.begin());
    // The client learns of others of this type from the log page.
    masked_ |= type_bit(event);
    std::erase_if(events_, [&](Event other) { return type_bit(other) == type_bit(event); });
    return answer;
}

}  // namespace outboard::sim::nvme
