// An NVMe controller (NVM Express base specification 1.4), simulated: registers and doorbells, queues, admin
// and I/O commands. Doorbells are shared memory that it polls; everything else comes by message.
#pragma once

#include "outboard/sim/model_options.hpp"
#include "outboard/sim/models/nvme/admin_commands.hpp"
#include "outboard/sim/models/nvme/io_commands.hpp"
#include "outboard/sim/models/nvme/options.hpp"
#include "outboard/sim/models/nvme/registers.hpp"
#include "outboard/sim/models/nvme/state.hpp"
#include "outboard/sim/pci_model.hpp"

#include <cstdint>
#include <optional>
#include <span>

namespace outboard::sim::nvme {

/// BAR 0: the registers, the doorbells from 0x1000 on. BAR 4: the MSI-X table, its pending bits from 0x1000
/// on.
class Controller final : public PciModel, private AdminHost {
  public:
    /// Throws Error.
    explicit Controller(const Options& options);

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned width) override;
    void write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override;
    void reset() override;
    Polled poll() override;

    /// Power was cut and is back: writes in the volatile caches are lost as `seed` decides, and the
    /// controller is reset. Throws Error.
    void cut_power(std::uint64_t seed);

    /// From the next reset on it grants no more than so many queue pairs, at least one. Any thread.
    void grant_queue_pairs(unsigned pairs) noexcept { state_.features.grant(pairs); }

    const HealthCounters& counters() const noexcept { return state_.counters; }

  private:
    // ---- registers: controller_registers.cpp ----
    std::uint32_t load(std::uint64_t offset) const noexcept;
    void store(std::uint64_t offset, std::uint32_t value);
    void configure(Value<Configuration> value);
    void begin_enable();
    void finish_enable();
    void disable();
    void controller_reset();
    void begin_shutdown(ShutdownRequest request);
    bool configuration_is_valid() const noexcept;
    void fail() noexcept;
    bool running() const noexcept;

    // ---- queues: controller.cpp ----
    void take_heads();
    bool serve(SubmissionQueue& queue);
    bool finish_delayed();
    bool finish_delayed(SubmissionQueue& queue, TimePoint now);
    bool answer_events();
    void look_around();
    void wake_at(TimePoint due);
    Outcome execute(const SubmissionQueue& queue, const SubmissionEntry& command);
    CompletionEntry completion(const SubmissionQueue& queue, const SubmissionEntry& command,
                               const Outcome& outcome);
    void post(CompletionQueue& queue, std::span<CompletionEntry> entries);
    void doorbell_was_invalid(Event event);

    // ---- what a fault plan does to it: controller_faults.cpp ----
    bool misses_doorbell(SubmissionQueue& queue);
    bool strikes_command(const SubmissionQueue& queue, Outcome& outcome);
    void post_with_faults(CompletionQueue& queue, std::span<CompletionEntry> entries);
    void post_later(unsigned queue, const CompletionEntry& entry, Duration delay);
    void overwrite_queue(CompletionQueue& queue, std::uint64_t random);

    // ---- interrupts: controller_interrupts.cpp ----
    void announce(CompletionQueue& queue, unsigned posted);
    void interrupt(CompletionQueue& queue) noexcept;
    void update_line() noexcept;
    void set_interrupt_mask(std::uint32_t mask) noexcept;
    bool is_masked(const CompletionQueue& queue) const noexcept {
        return queue.vector < 32 && (interrupt_mask_ >> queue.vector & 1) != 0;
    }

    // ---- AdminHost ----
    void abort(SubmissionQueue& queue, const SubmissionEntry& command, StatusCode status) override;
    unsigned interrupt_vectors() noexcept override;
    bool entry_sizes_are_set() const noexcept override;

    State state_;
    AdminCommands admin_;
    IoCommands io_;
    Value<Configuration> configuration_;
    Value<Status> status_;
    std::uint32_t interrupt_mask_ = 0;
    std::uint32_t admin_attributes_ = 0;
    std::uint64_t admin_submission_ = 0;
    std::uint64_t admin_completion_ = 0;
    Timers::Id ready_timer_ = 0;
    std::optional<TimePoint> wake_;  ///< a timer is set for then
    bool idle_ = true;               ///< the last look found nothing
    bool hung_ = false;              ///< a fault: nothing happens until a reset
    unsigned next_unused_slot_ = 0;  ///< where look_around() goes on
};

/// The entry for the table of models.
extern const ModelDescription description;

}  // namespace outboard::sim::nvme
