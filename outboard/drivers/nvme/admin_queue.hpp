// The admin queue pair: commands that are awaited, and the asynchronous event request that stays with the
// controller. One thread, that of the controller.
#pragma once

#include "outboard/drivers/nvme/rings.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outboard::nvme {

struct AdminResult {
    Status status;
    std::uint32_t result = 0;  ///< dword 0 of the completion
};

class AdminQueue {
  public:
    static constexpr std::uint32_t entries = 32;
    /// Both rings, a page each.
    static constexpr std::size_t dma_bytes = 2 * 4096;

    /// `name` is what messages call the device.
    AdminQueue(RunLoop& loop, DmaArena& arena, const Doorbell& tail, const Doorbell& head, std::string name);

    std::uint64_t submission_iova() const noexcept { return submission_.iova(); }
    std::uint64_t completion_iova() const noexcept { return completion_.iova(); }

    /// Empty, with nothing outstanding: before the controller is enabled.
    void restart() noexcept;

    /// Sends a command and gives its completion, whatever its status. `what` names it in the Error (kind
    /// timed_out) that is thrown when none comes within `limit`; its text stays alive. After that only a
    /// reset makes the queue whole again.
    Task<AdminResult> send(SubmissionEntry command, Duration limit, std::string_view what);
    /// The same; throws Error (kind io) when the status is not good. Gives dword 0.
    Task<std::uint32_t> run(SubmissionEntry command, Duration limit, std::string_view what);

    /// Hands the controller an asynchronous event request.
    void request_event() noexcept;
    /// The event that was told since the last call: dword 0 of its completion.
    std::optional<std::uint32_t> take_event() noexcept;

    /// Takes what has been completed. True when there was anything.
    bool look() noexcept;

  private:
    static constexpr std::uint16_t event_slot = entries - 2;
    static constexpr std::uint16_t commands = event_slot;

    enum class SlotState : std::uint8_t { free, sent, done };
    struct Slot {
        SlotState state = SlotState::free;
        bool abandoned = false;  ///< nobody waits for it any more
        AdminResult result;
    };

    void submit(SubmissionEntry command, std::uint16_t slot) noexcept;
    std::optional<std::uint16_t> free_slot() const noexcept;

    RunLoop& loop_;
    std::string name_;
    DmaBuffer submission_memory_;
    DmaBuffer completion_memory_;
    SubmissionRing submission_;
    CompletionRing completion_;
    std::array<Slot, commands + 1> slots_{};
    std::optional<std::uint32_t> event_;
};

}  // namespace outboard::nvme
