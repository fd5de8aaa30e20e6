#include "fuzz/simulated_backend.hpp"

#include "outboard/base/fd.hpp"
#include "outboard/sim/region_access.hpp"

#include <array>
#include <cerrno>
#include <exception>
#include <utility>
#include <vector>

#include "fuzz/require.hpp"
#include <fcntl.h>

namespace outboard::fuzz {

namespace {

constexpr unsigned config_region = 7;

unsigned number(RegionIndex region) {
    return static_cast<unsigned>(region);
}

sim::IrqKind kind_of(InterruptKind kind) {
    switch (kind) {
        case InterruptKind::msi:
            return sim::IrqKind::msi;
        case InterruptKind::msix:
            return sim::IrqKind::msix;
        default:
            return sim::IrqKind::intx;
    }
}

}  // namespace

SimulatedBackend::SimulatedBackend(std::unique_ptr<sim::PciModel> model) : model_(std::move(model)) {
    constexpr std::array memory_enabled{std::byte{2}, std::byte{0}};
    require(write_region(RegionIndex::config, 4, memory_enabled) == 0, "configuration space can be written");
}

bool SimulatedBackend::turn() {
    model_->timers().run(Clock::now());
    bool worked = false;
    for (unsigned left = 16; left > 0 && model_->poll() == sim::Polled::worked; --left)
        worked = true;
    return worked;
}

RegionInfo SimulatedBackend::region_info(RegionIndex region) const {
    RegionInfo info{.readable = true, .writable = true, .mappable = {}};
    if (number(region) < sim::bar_count)
        info.size = model_->description().bars[number(region)].size;
    else if (number(region) == config_region)
        info.size = model_->config().size();
    return info;
}

int SimulatedBackend::read_region(RegionIndex region, std::uint64_t offset,
                                  std::span<std::byte> data) noexcept {
    try {
        turn();
        return sim::read_region(*model_, number(region), offset, data);
    } catch (const std::exception&) {
        return EIO;
    }
}

int SimulatedBackend::write_region(RegionIndex region, std::uint64_t offset,
                                   std::span<const std::byte> data) noexcept {
    try {
        const int error = sim::write_region(*model_, number(region), offset, data);
        turn();
        return error;
    } catch (const std::exception&) {
        return EIO;
    }
}

std::span<std::byte> SimulatedBackend::map_region(RegionIndex /*region*/, const MappableArea& /*area*/) {
    require(false, "nothing is mapped that cannot be");
    return {};
}

InterruptInfo SimulatedBackend::interrupt_info(InterruptKind kind) const {
    return {.count = model_->interrupts().count(kind_of(kind)), .maskable = kind == InterruptKind::intx};
}

void SimulatedBackend::set_interrupts(InterruptKind kind, std::span<const int> eventfds) {
    std::vector<Fd> own;
    own.reserve(eventfds.size());
    for (const int eventfd : eventfds)
        own.emplace_back(::fcntl(eventfd, F_DUPFD_CLOEXEC, 0));
    if (own.empty())
        model_->interrupts().disable(kind_of(kind));
    else
        model_->interrupts().connect(kind_of(kind), sim::Interrupts::Event::trigger, 0, own);
}

int SimulatedBackend::mask_intx() noexcept {
    model_->interrupts().set_masked(sim::IrqKind::intx, 0, true);
    return 0;
}

int SimulatedBackend::unmask_intx() noexcept {
    model_->interrupts().set_masked(sim::IrqKind::intx, 0, false);
    return 0;
}

void SimulatedBackend::map_dma(const DmaMapping& mapping) {
    const Fd file(::fcntl(mapping.fd, F_DUPFD_CLOEXEC, 0));
    require(model_->dma().add(mapping.iova, mapping.memory.size(), {.readable = true, .writable = true}, file,
                              mapping.offset) == 0,
            "memory can be mapped");
}

void SimulatedBackend::unmap_dma(std::uint64_t iova, std::uint64_t size) {
    require(model_->dma().remove(iova, size) == 0, "what was mapped can be unmapped");
}

}  // namespace outboard::fuzz
