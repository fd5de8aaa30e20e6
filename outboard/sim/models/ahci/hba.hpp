// An AHCI host bus adapter with SATA disks, simulated (Serial ATA AHCI 1.3.1).
#pragma once

#include "outboard/sim/model_options.hpp"
#include "outboard/sim/models/ahci/port.hpp"
#include "outboard/sim/models/ide_breaches.hpp"
#include "outboard/sim/pci_model.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace outboard::sim::ahci {

struct Options {
    /// A port each, empty where there is no disk; 1 to 32.
    std::vector<std::optional<DiskOptions>> ports;
    unsigned slots = most_slots;  ///< command slots of a port, 1 … 32
    bool queuing = true;          ///< native command queuing
    bool staggered = false;       ///< staggered spin-up
    bool firmware_owned = false;  ///< firmware uses it, and gives it up when asked
    bool messages = true;         ///< it has MSI
    /// Gets half a sentence for each breach(); may be empty.
    std::function<void(std::string_view)> report{};
};

class Hba final : public PciModel, private PortHost {
  public:
    /// Throws Error.
    explicit Hba(const Options& options);

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned width) override;
    void write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override;
    void reset() override;

    /// Null where the port is empty.
    Disk* disk(unsigned port) noexcept { return ports_[port]->disk(); }
    /// Pulls a disk out of its port, or puts it back, so long after the client's next access. Any thread.
    void plug(unsigned port, bool in, Duration delay = {});
    /// What the specification leaves undefined, since it was made. Any thread.
    std::uint64_t breaches() const noexcept { return breaches_.count(); }
    /// Power is cut and comes back: each unflushed sector is old or new, as `seed` decides, and the rest is
    /// as after power-on. Throws Error.
    void cut_power(std::uint64_t seed);

  private:
    struct PlugOrder {
        unsigned port = 0;
        bool in = false;
        Duration delay{};
    };

    void follow_orders();
    std::uint32_t read_register(unsigned place) const noexcept;
    void write_register(unsigned place, std::uint32_t value);
    void write_control(std::uint32_t value);
    void drive_line() noexcept;

    DmaMemory& memory() noexcept override { return dma(); }
    Timers& clock() noexcept override { return timers(); }
    FaultInjector& injector() noexcept override { return faults(); }
    void interrupt_rose(unsigned port) override;
    void interrupt_changed() override { drive_line(); }
    void pull_out() override { remove(); }

    Options options_;
    IdeBreaches breaches_;
    std::vector<std::unique_ptr<Port>> ports_;
    std::uint32_t control_ = control_enable;
    std::uint32_t interrupt_status_ = 0;
    std::uint32_t handoff_ = 0;
    bool in_reset_ = false;  ///< a reset that does not end

    std::mutex ordering_;
    std::vector<PlugOrder> orders_;
    std::atomic<bool> ordered_{false};
};

/// The entry for the table of models.
extern const ModelDescription description;

}  // namespace outboard::sim::ahci
