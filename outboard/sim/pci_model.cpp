#include "outboard/sim/pci_model.hpp"

#include <array>
#include <cstddef>

namespace outboard::sim {

namespace {

PciDescription checked(PciDescription description) {
    check(description);
    return description;
}

}  // namespace

PciModel::PciModel(const PciDescription& description)
    : description_(checked(description)),
      config_(description_),
      interrupts_(config_, description_, faults_, timers_),
      msix_table_(interrupts_, description_.msix),
      dma_(faults_) {
    for (unsigned bar = 0; bar < bar_count; ++bar)
        if (!description_.bars[bar].shared.empty())
            shared_[bar] = std::make_unique<SharedBar>(description_.bars[bar].size);
}

bool PciModel::reset_device() {
    if (removed_ || faults_.strike(FaultKind::reset_failure))
        return false;
    timers_.clear();
    interrupts_.reset();
    reset();
    return true;
}

void PciModel::remove() noexcept {
    removed_ = true;
    timers_.clear();
    interrupts_.reset();
    dma_.set_bus_master(false);
}

void PciModel::plug_in() {
    if (!removed_)
        return;
    removed_ = false;
    // PCI 3.0, 6.2.2: a device that has just got power decodes nothing and is no bus master.
    constexpr std::size_t command_register = 0x04;
    constexpr std::array<std::byte, 2> off{};
    config_.write(command_register, off);
    interrupts_.reset();
    reset();
}

}  // namespace outboard::sim
