// A simulated device without a server: a Backend that calls its model, on one thread.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/base/error.hpp"
#include "outboard/runtime/clock.hpp"
#include "outboard/sim/pci_model.hpp"
#include "outboard/sim/region_access.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>

namespace outboard::test {

/// The model works with the accesses, and when it is turned. Memory of its BARs that it would share is
/// reached by access.
class ModelBackend final : public Backend {
  public:
    explicit ModelBackend(std::unique_ptr<sim::PciModel> model) : model_(std::move(model)) {}

    sim::PciModel& model() noexcept { return *model_; }
    /// Lets the model work: its timers, and what it finds in shared memory. True when it found something.
    bool turn() {
        model_->timers().run(Clock::now());
        bool worked = false;
        for (unsigned left = most_polls; left > 0 && model_->poll() == sim::Polled::worked; --left)
            worked = true;
        return worked;
    }

    const std::string& name() const noexcept override { return name_; }
    RegionInfo region_info(RegionIndex region) const override {
        const std::uint64_t size = sim::region_size(*model_, static_cast<unsigned>(region));
        return {.size = size, .readable = size > 0, .writable = size > 0, .mappable = {}};
    }
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept override {
        turn();
        return sim::read_region(*model_, static_cast<unsigned>(region), offset, data);
    }
    int write_region(RegionIndex region, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override {
        const int error = sim::write_region(*model_, static_cast<unsigned>(region), offset, data);
        if (region == RegionIndex::config) {
            model_->dma().set_bus_master(model_->config().bus_master());
            model_->interrupts().update();
        }
        turn();
        return error;
    }
    std::span<std::byte> map_region(RegionIndex /*region*/, const MappableArea& /*area*/) override {
        return {};
    }

    InterruptInfo interrupt_info(InterruptKind kind) const override {
        return {.count = model_->interrupts().count(irq(kind)), .maskable = kind == InterruptKind::intx};
    }
    void set_interrupts(InterruptKind kind, std::span<const int> eventfds) override {
        if (eventfds.empty()) {
            model_->interrupts().disable(irq(kind));
            return;
        }
        std::vector<Fd> copies;
        for (const int eventfd : eventfds)
            copies.push_back(copy(eventfd));
        model_->interrupts().connect(irq(kind), sim::Interrupts::Event::trigger, 0, copies);
    }
    int mask_intx() noexcept override {
        model_->interrupts().set_masked(sim::IrqKind::intx, 0, true);
        return 0;
    }
    int unmask_intx() noexcept override {
        model_->interrupts().set_masked(sim::IrqKind::intx, 0, false);
        return 0;
    }

    bool resettable() const noexcept override { return true; }
    void reset() override {
        if (!model_->reset_device())
            throw_errno(EIO, "reset", name_);
    }

    std::vector<IovaRange> iova_ranges() const override { return {{.first = 0, .last = 0xffffffffff}}; }
    std::uint64_t dma_page_size() const noexcept override { return sim::DmaMemory::page_size; }
    void map_dma(const DmaMapping& mapping) override {
        const Fd file = copy(mapping.fd);
        if (const int error = model_->dma().add(mapping.iova, mapping.memory.size(),
                                                {.readable = mapping.access != DmaAccess::write,
                                                 .writable = mapping.access != DmaAccess::read},
                                                file, mapping.offset);
            error != 0)
            throw_errno(error, "map memory for", name_);
    }
    void unmap_dma(std::uint64_t iova, std::uint64_t size) override {
        if (const int error = model_->dma().remove(iova, size); error != 0)
            throw_errno(error, "unmap memory of", name_);
    }

  private:
    static constexpr unsigned most_polls = 16;  ///< of a turn; a model may always find more

    /// VFIO and the models number them alike.
    static sim::IrqKind irq(InterruptKind kind) noexcept { return static_cast<sim::IrqKind>(kind); }
    Fd copy(int descriptor) const {
        Fd made(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
        if (!made)
            throw_errno(errno, "copy a descriptor for", name_);
        return made;
    }

    std::unique_ptr<sim::PciModel> model_;
    std::string name_ = "0000:00:05.0";
};

}  // namespace outboard::test
