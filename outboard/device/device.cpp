#include "outboard/device/device.hpp"

#include "outboard/backend/device_name.hpp"
#include "outboard/backend/vfio/vfio_backend.hpp"
#include "outboard/backend/vfio_user/vfio_user_backend.hpp"
#include "outboard/base/error.hpp"

#include <cerrno>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>

namespace outboard {

std::unique_ptr<Device> Device::open(std::string_view name) {
    const DeviceName parsed = DeviceName::parse(name);
    if (parsed.pci())
        return std::make_unique<Device>(vfio::VfioBackend::open(*parsed.pci()));
    return std::make_unique<Device>(vfio_user::VfioUserBackend::open(std::string(parsed.socket())));
}

Device::Device(std::unique_ptr<Backend> backend) : backend_(std::move(backend)), config_(*backend_) {}

Device::~Device() {
    if (!arena_)
        return;
    try {
        // The device must be quiet before its memory goes: what it wrote afterwards would be IOMMU faults.
        set_bus_master(false);
    } catch (const Error&) {
        // Configuration space that cannot be written belongs to a device that is gone, which starts no DMA.
        return;
    }
}

Region Device::region(RegionIndex index) {
    const RegionInfo info = backend_->region_info(index);
    if (info.size == 0)
        throw Error({.kind = ErrorKind::not_found,
                     .action = fmt::format("use region {} of", std::to_underlying(index)),
                     .subject = name(),
                     .cause = "the device does not have it",
                     .remedy = {}});
    const auto [areas, first_time] = mapped_.try_emplace(index);
    if (first_time)
        for (const MappableArea& area : info.mappable)
            areas->second.push_back({.offset = area.offset, .memory = backend_->map_region(index, area)});
    return {*backend_, index, info.size, areas->second};
}

std::vector<Interrupt> Device::enable_interrupts(InterruptKind kind, unsigned count) {
    const unsigned available = interrupt_count(kind);
    if (count == 0 || count > available)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = fmt::format("enable {} interrupt vectors of", count),
                     .subject = name(),
                     .cause = fmt::format("it has {} of this kind that can reach a process", available),
                     .remedy = available == 0 ? "use another kind, or poll" : ""});
    std::vector<Interrupt> interrupts;
    std::vector<int> eventfds;
    for (unsigned vector = 0; vector < count; ++vector) {
        // Blocking: io_uring answers a read of a non-blocking descriptor at once instead of waiting for the
        // event.
        Fd eventfd(::eventfd(0, EFD_CLOEXEC));
        if (!eventfd)
            throw_errno(errno, "create an eventfd for an interrupt of", name());
        eventfds.push_back(eventfd.get());
        interrupts.emplace_back(*backend_, kind, vector, std::move(eventfd));
    }
    backend_->set_interrupts(kind, eventfds);
    if (kind == InterruptKind::intx) {
        // A driver that polled may have left it disabled, and a device behind a socket keeps that.
        const std::uint16_t command = config_.read16(PCI_COMMAND);
        if ((command & PCI_COMMAND_INTX_DISABLE) != 0)
            config_.write16(PCI_COMMAND, static_cast<std::uint16_t>(command & ~PCI_COMMAND_INTX_DISABLE));
    }
    return interrupts;
}

void Device::disable_interrupts(InterruptKind kind) {
    backend_->set_interrupts(kind, {});
}

void Device::poll_only() {
    for (const InterruptKind kind : {InterruptKind::intx, InterruptKind::msi, InterruptKind::msix})
        backend_->set_interrupts(kind, {});
    config_.write16(PCI_COMMAND,
                    static_cast<std::uint16_t>(config_.read16(PCI_COMMAND) | PCI_COMMAND_INTX_DISABLE));
}

void Device::set_bus_master(bool on) {
    const std::uint16_t command = config_.read16(PCI_COMMAND);
    const auto wanted =
        static_cast<std::uint16_t>(on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER);
    config_.write16(PCI_COMMAND, wanted);
}

void Device::reset() {
    backend_->reset();
}

void Device::require_no_arena() const {
    if (arena_)
        throw Error({.kind = ErrorKind::failed,
                     .action = "create the DMA arena of",
                     .subject = name(),
                     .cause = "it has one already",
                     .remedy = "make one that is large enough for all users"});
}

DmaArena& Device::create_arena(const DmaArenaOptions& options) {
    require_no_arena();
    arena_ = std::make_unique<DmaArena>(*backend_, options);
    return *arena_;
}

DmaArena& Device::adopt_arena(GrantedArena granted) {
    require_no_arena();
    arena_ = std::make_unique<DmaArena>(*backend_, std::move(granted));
    return *arena_;
}

DmaArena& Device::arena() {
    if (!arena_)
        throw Error({.kind = ErrorKind::failed,
                     .action = "use the DMA arena of",
                     .subject = name(),
                     .cause = "it was not created",
                     .remedy = "call create_arena first"});
    return *arena_;
}

}  // namespace outboard
