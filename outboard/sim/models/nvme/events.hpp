// Asynchronous events (NVM Express base specification 1.4, 5.2).
#pragma once

#include "outboard/sim/models/nvme/commands.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace outboard::sim::nvme {

/// Requests that wait for an event, and events that wait for a request.
class AsyncEvents {
  public:
    static constexpr std::size_t max_requests = 8;

    /// False: too many wait.
    [[nodiscard]] bool add_request(std::uint16_t identifier);
    /// Ends a request without an event. False: it does not wait.
    [[nodiscard]] bool abort_request(std::uint16_t identifier);

    /// An event of a type that the client has not taken note of since the last one is dropped.
    void raise(Event event);
    /// The client has read a log page: further events of its type may come.
    void log_was_read(LogPage page) noexcept;

    /// The completion of a request.
    struct Answer {
        std::uint16_t identifier;
        std::optional<Event> event;  ///< none: it was aborted
    };
    /// Takes out the next one, if there is any.
    std::optional<Answer> take() noexcept;

    void reset() noexcept { *this = AsyncEvents(); }

  private:
    std::vector<std::uint16_t> requests_;
    std::vector<std::uint16_t> aborted_;
    std::deque<Event> events_;
    std::uint32_t masked_ = 0;  ///< a bit a type
};

}  // namespace outboard::sim::nvme
