// How the requests of one ublk queue come from the kernel and their results go back.
#pragma once

#include "outboard/device/dma_arena.hpp"
#include "outboard/export/ublk/request_table.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace outboard::ublk {

struct ExchangeSetup {
    RunLoop& loop;
    int file;                          ///< of server_path
    std::uint16_t queue;               ///< its number
    std::span<const DmaSpan> buffers;  ///< by tag; outlives the exchange
    RequestTable& table;               ///< takes the tags that come
    /// Called when a command has ended that will not come again, with its result: -ENODEV when the device was
    /// stopped, another one when the kernel refused the command.
    std::function<void(int)> ended;
};

/// Made, used and destroyed on the thread of its loop. No call allocates, blocks or throws.
class Exchange {
  public:
    Exchange() = default;
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;
    Exchange(Exchange&&) = delete;
    Exchange& operator=(Exchange&&) = delete;
    /// The kernel has nothing any more, or the exchange is not destroyed.
    virtual ~Exchange() = default;

    /// Asks for the first requests of all tags. Once.
    virtual void begin() noexcept = 0;
    /// False: hand_in() cannot be called before the next turn of the loop.
    virtual bool has_room() const noexcept = 0;
    /// Hands results in, and asks for the next request of each of these tags. At most one result for a tag.
    virtual void hand_in(std::span<const FinishedRequest> finished) noexcept = 0;
    /// No command is with the kernel.
    virtual bool is_over() const noexcept = 0;
};

/// One io_uring command for each tag: every kernel with ublk has that.
std::unique_ptr<Exchange> make_tag_exchange(ExchangeSetup setup);

/// One command that brings the tags of many requests at a time, and one for many results: for devices made
/// with feature::batch_io. Throws Error.
std::unique_ptr<Exchange> make_batch_exchange(ExchangeSetup setup);

}  // namespace outboard::ublk
