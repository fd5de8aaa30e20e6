#include "outboard/sim/pci_model.hpp"

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
      interrupts_(config_, description_),
      msix_table_(interrupts_, description_.msix) {
    for (unsigned bar = 0; bar < bar_count; ++bar)
        if (!description_.bars[bar].shared.empty())
            shared_[bar] = std::make_unique<SharedBar>(description_.bars[bar].size);
}

void PciModel::reset_device() {
    timers_.clear();
    interrupts_.reset();
    reset();
}

}  // namespace outboard::sim
