// The driver of a virtio block device, which is one disk: brings it up, lends its queues, and puts right what
// they complain of.
#pragma once

#include "outboard/classes/attention.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/drivers/virtio/transport.hpp"
#include "outboard/drivers/virtio_blk/disk_queue.hpp"
#include "outboard/drivers/virtio_blk/limits.hpp"
#include "outboard/drivers/virtio_blk/request.hpp"
#include "outboard/runtime/event_watch.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace outboard::virtio_blk {

class Disk final : public Driver, public BlockDevice {
  public:
    /// Bytes that a disk takes from the arena besides DiskQueue::dma_bytes for each queue: a page for what it
    /// is asked.
    static constexpr std::size_t dma_bytes = 4096;

    /// Finds the device's structures. Throws Error when it cannot be driven.
    Disk(Device& device, RunLoop& loop, DriverOptions options);
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;
    Disk(Disk&&) = delete;
    Disk& operator=(Disk&&) = delete;
    ~Disk() override;

    /// Resets the device, finds out what it is, makes its queues. Throws Error.
    Task<void> start();

    // Driver.
    std::vector<BlockDevice*> block_devices() override { return {this}; }
    Task<void> shut_down() override;

    // BlockDevice.
    const BlockInfo& info() const noexcept override { return info_; }
    /// On any loop where the device has MSI-X or is polled, else on that of the driver. Error (kind busy)
    /// when all queues are open. Any thread.
    std::unique_ptr<BlockQueue> open_queue(RunLoop& loop) override;
    DmaArena& arena() noexcept override { return transport_.device().arena(); }

  private:
    class LentQueue;

    struct Entry {
        std::unique_ptr<DiskQueue> queue;
        bool lent = false;
    };

    // Bringing up (disk.cpp).
    Task<void> reset_and_negotiate();
    virtio::Features wanted(virtio::Features offered) const;
    bool switch_write_cache();
    void make_queues();
    void fill_info();
    Task<RequestStatus> ask(RequestType type, std::string_view what);
    Task<std::string> ask_serial();
    Task<void> flush_cache();
    void start_services();
    void take_back(DiskQueue& queue) noexcept;

    // What happens later (disk_recovery.cpp).
    Task<void> serve_interrupts();
    void look_at_configuration();
    Task<void> serve_attention();
    bool reset_is_wanted() noexcept;
    Task<void> recover();
    void stop_queues();
    Task<void> bring_up_again();
    void give_up() noexcept;
    void tell(std::string_view text) noexcept { attention_.tell(text); }

    RunLoop& loop_;
    DriverOptions options_;
    std::string name_;
    virtio::Transport transport_;
    Duration request_limit_;
    Attention attention_;
    DmaBuffer page_;
    virtio::Features features_ = 0;
    DiskConfiguration configuration_;
    DiskLimits limits_;
    bool write_cache_ = false;
    BlockInfo info_;
    bool device_wants_reset_ = false;
    bool usable_ = false;  ///< up, and in the state that the queues know
    bool lost_ = false;
    bool at_rest_ = false;

    std::mutex lending_;  ///< of `lent`
    std::vector<Entry> queues_;

    std::optional<EventWatch> interrupt_watch_;
    std::optional<EventWatch> attention_watch_;
    Task<void> interrupt_service_;  ///< go before what they use
    Task<void> attention_service_;
};

}  // namespace outboard::virtio_blk
