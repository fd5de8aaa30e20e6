// The device's end of a virtqueue of either sort (Virtio 1.2, 2.7 and 2.8).
#pragma once

#include "outboard/sim/dma_memory.hpp"
#include "outboard/sim/models/virtio/chain.hpp"

#include <cstdint>
#include <memory>

namespace outboard::sim::virtio {

/// Where a queue is and how it works.
struct QueuePlace {
    std::uint16_t size = 0;
    std::uint64_t descriptors = 0;
    std::uint64_t driver_area = 0;
    std::uint64_t device_area = 0;
    bool indirect = false;
    bool event_index = false;
};

enum class Fetched : std::uint8_t {
    nothing,  ///< the client has made no more available
    one,      ///<
    broken,   ///< the client has broken the rules, or its memory cannot be reached
};

/// How a fault plan distorts a used buffer.
enum class Distortion : std::uint8_t { none, wrong_phase, wrong_head };

class QueueEnd {
  public:
    QueueEnd() = default;
    QueueEnd(const QueueEnd&) = delete;
    QueueEnd& operator=(const QueueEnd&) = delete;
    QueueEnd(QueueEnd&&) = delete;
    QueueEnd& operator=(QueueEnd&&) = delete;
    virtual ~QueueEnd() = default;

    /// The next buffer that the client has made available.
    virtual Fetched fetch(Chain& chain) = 0;
    /// Returns a buffer to the client; `written` bytes of it were written.
    virtual void put(const Chain& chain, std::uint32_t written, Distortion distortion) noexcept = 0;
    /// The client wants an interrupt for what was put since the last call.
    virtual bool wants_interrupt() noexcept = 0;
    /// Tells the client not to notify, or to do so from now on. Look for buffers once more after that.
    virtual void want_notifications(bool wanted) noexcept = 0;
    /// Puts garbage where the next used buffer goes.
    virtual void overwrite(std::uint64_t garbage) noexcept = 0;
    /// The queue's memory cannot be reached.
    virtual bool failed() const noexcept = 0;
};

/// `dma` outlives it.
std::unique_ptr<QueueEnd> make_split_end(DmaMemory& dma, const QueuePlace& place);
std::unique_ptr<QueueEnd> make_packed_end(DmaMemory& dma, const QueuePlace& place);

/// True when `event` lies in [from, to), modulo 2^16.
constexpr bool crosses(std::uint16_t from, std::uint16_t to, std::uint16_t event) noexcept {
    return static_cast<std::uint16_t>(event - from) < static_cast<std::uint16_t>(to - from);
}

/// A descriptor of a chain or a table, in neither format.
struct Descriptor {
    std::uint64_t iova = 0;
    std::uint32_t length = 0;
    std::uint16_t flags = 0;
    std::uint16_t next_or_id = 0;
};

/// Adds a part to the chain. False when a part that the device reads follows one that it writes (2.7.4.2), or
/// there are too many.
bool append(Chain& chain, const Descriptor& descriptor);

}  // namespace outboard::sim::virtio
