// The driver of an NVMe controller: brings it up, lends its I/O queues to its namespaces, and puts right
// what they complain of.
#pragma once

#include "outboard/classes/attention.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/device/device.hpp"
#include "outboard/drivers/nvme/admin_queue.hpp"
#include "outboard/drivers/nvme/bring_up.hpp"
#include "outboard/drivers/nvme/io_queue.hpp"
#include "outboard/drivers/nvme/namespace.hpp"
#include "outboard/runtime/event_watch.hpp"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace outboard::nvme {

class Controller final : public Driver {
  public:
    /// Bytes that a controller takes from the arena besides IoQueue::dma_bytes for each queue pair: the admin
    /// queues, a page for what it tells, two for shadow doorbells.
    static constexpr std::size_t dma_bytes = AdminQueue::dma_bytes + 3 * page_bytes;

    /// Finds the registers. Throws Error when they are not those of a controller that can be driven.
    Controller(Device& device, RunLoop& loop, DriverOptions options);
    Controller(const Controller&) = delete;
    Controller& operator=(const Controller&) = delete;
    Controller(Controller&&) = delete;
    Controller& operator=(Controller&&) = delete;
    ~Controller() override;

    /// Resets the controller, finds its namespaces, makes its queues. Throws Error.
    Task<void> start();

    std::vector<BlockDevice*> block_devices() override;
    Task<std::optional<DiskHealth>> read_health() override;
    Task<void> shut_down() override;

    /// A queue that nobody uses, opened on the loop of the calling thread. Throws Error when there is
    /// none, or it cannot be used on that loop. Any thread.
    IoQueue& lend_queue(RunLoop& loop, const Target& target);
    void take_queue_back(IoQueue& queue) noexcept;

  private:
    struct Lending {
        std::unique_ptr<IoQueue> queue;
        bool lent = false;
        bool withdrawn = false;  ///< the controller has too few pairs for it, since a reset
    };

    /// Of who waits for the controller's health.
    struct HealthWish {
        std::optional<std::expected<DiskHealth, std::string>> answer;
    };

    ControllerAccess access() noexcept {
        return {.registers = registers_,
                .admin = admin_,
                .loop = loop_,
                .limits = limits_,
                .page = page_.span(),
                .name = name_};
    }
    Doorbell doorbell(std::uint64_t offset) const;
    std::uint32_t queue_entries() const;

    // Bringing up (controller.cpp).
    Task<void> find_namespaces();
    void choose_interrupts(unsigned queues);
    void make_queues(unsigned queues);
    Task<void> configure();
    Task<void> create_queue(IoQueue& queue);
    std::optional<std::uint16_t> vector_of(const QueuePair& pair) const;
    QueuePairSetup pair_setup(unsigned id, bool interrupts) const;
    void start_services();

    // Events (controller_events.cpp).
    Task<void> serve_interrupts();
    Task<void> handle_event(std::uint32_t event);
    Task<void> request_events();

    // Health on demand (controller_health.cpp).
    Task<void> answer_health_wish();

    // What queues complain of (controller_recovery.cpp).
    Task<void> serve_attention();
    Task<void> attend();
    Task<void> abort(AbortWish wish);
    Task<void> recover();
    Task<void> bring_up_again();
    Task<void> verify_identity();
    bool keep_pairs_of(Lending& lending);
    void give_up() noexcept;
    void tell(std::string_view text) noexcept { attention_.tell(text); }

    Device& device_;
    RunLoop& loop_;
    DriverOptions options_;
    std::string name_;
    Region region_;
    RegisterBlock<register_bytes> registers_;
    unsigned stride_;
    Limits limits_;
    Attention attention_;
    AdminQueue admin_;
    DmaBuffer page_;
    DmaBuffer shadows_;  ///< both pages of shadow doorbells; empty where there are none
    ControllerIdentity identity_;
    bool write_cache_ = false;
    bool usable_ = false;  ///< enabled and configured
    bool lost_ = false;
    static constexpr unsigned most_failures = 3;
    unsigned failures_ = 0;  ///< to put things right, since a queue was put to work again
    bool at_rest_ = false;
    std::optional<HealthWish> health_wish_;

    std::vector<std::unique_ptr<Namespace>> namespaces_;
    std::optional<InterruptKind> interrupt_kind_;
    std::vector<Interrupt> interrupts_;
    std::mutex lending_;  ///< of `lent` and `withdrawn`
    std::vector<Lending> queues_;
    unsigned pair_count_ = 0;     ///< of the controller, one or two a queue
    unsigned granted_pairs_ = 0;  ///< by the last reset

    std::optional<EventWatch> interrupt_watch_;
    std::optional<EventWatch> attention_watch_;
    Task<void> interrupt_service_;  ///< go before what they use
    Task<void> attention_service_;
};

}  // namespace outboard::nvme
