// One namespace as a block device, and its queues.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/drivers/nvme/identify.hpp"
#include "outboard/drivers/nvme/io_queue.hpp"

#include <cstdint>
#include <memory>
#include <span>

namespace outboard::nvme {

class Controller;

/// What all namespaces of a controller have in common.
struct ControllerLimits {
    std::uint16_t queue_depth = 1;
    std::uint16_t max_queues = 1;
    bool write_cache = false;  ///< there is one, and it is on
};

/// Belongs to its controller, whose queue pairs its queues are.
class Namespace final : public BlockDevice {
  public:
    Namespace(Controller& controller, DmaArena& arena, const ControllerIdentity& identity,
              const NamespaceIdentity& name_space, const ControllerLimits& limits, const std::string& device);

    const BlockInfo& info() const noexcept override { return info_; }
    /// On any loop where the controller has MSI or MSI-X or is polled, else on that of the driver. The
    /// controller's queue pairs are for all of its namespaces: Error (kind busy) when none is left.
    std::unique_ptr<BlockQueue> open_queue(RunLoop& loop) override;
    DmaArena& arena() noexcept override { return arena_; }

    const NamespaceIdentity& identity() const noexcept { return identity_; }
    const Target& target() const noexcept { return target_; }

  private:
    Controller& controller_;
    DmaArena& arena_;
    NamespaceIdentity identity_;
    BlockInfo info_;
    Target target_;
};

/// A queue pair on loan from the controller.
class NamespaceQueue final : public BlockQueue {
  public:
    NamespaceQueue(Controller& controller, IoQueue& queue) noexcept
        : controller_(controller), queue_(queue) {}
    ~NamespaceQueue() override;
    NamespaceQueue(const NamespaceQueue&) = delete;
    NamespaceQueue& operator=(const NamespaceQueue&) = delete;
    NamespaceQueue(NamespaceQueue&&) = delete;
    NamespaceQueue& operator=(NamespaceQueue&&) = delete;

    std::size_t submit(std::span<BlockRequest* const> requests) noexcept override {
        return queue_.submit(requests);
    }
    std::size_t reap(std::span<BlockRequest*> finished) noexcept override { return queue_.reap(finished); }
    void leave_loop() noexcept override { queue_.leave_loop(); }
    TimePoint next_reap(TimePoint now) const noexcept override { return queue_.next_reap(now); }

  private:
    Controller& controller_;
    IoQueue& queue_;
};

}  // namespace outboard::nvme
