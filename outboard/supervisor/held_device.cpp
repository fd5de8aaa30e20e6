#include "outboard/supervisor/held_device.hpp"

#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/claim.hpp"
#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/requirements.hpp"
#include "outboard/backend/vfio/iommu_container.hpp"
#include "outboard/backend/vfio/vfio_backend.hpp"
#include "outboard/backend/vfio_user/connect.hpp"
#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"
#include "outboard/device/dma_memory.hpp"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/eventfd.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

Fd make_eventfd() {
    Fd eventfd(::eventfd(0, EFD_CLOEXEC));
    if (!eventfd)
        throw_errno(errno, "make", "an eventfd");
    return eventfd;
}

class HeldPciDevice final : public HeldDevice {
  public:
    explicit HeldPciDevice(const PciAddress& address)
        : address_(address), claim_(Inventory().device(address)) {
        bound_here_ = Inventory().device(address).driver != vfio_driver;
        if (bound_here_)
            Binder().bind(address);
        try {
            std::unique_ptr<vfio::VfioBackend> backend = vfio::VfioBackend::open(address);
            backend_ = backend.get();
            device_ = std::make_unique<Device>(std::move(backend));
            follow_notices();
        } catch (...) {
            if (bound_here_)
                Binder().restore(address);
            throw;
        }
    }

    HeldPciDevice(const PciAddress& address, std::vector<Fd> kept, HeldArena arena, bool bound_here)
        : address_(address), claim_(Inventory().device(address)), bound_here_(bound_here) {
        if (kept.size() != 4)
            throw_errno(EBADMSG, "go on with", address.text());
        const IovaRange mapped{.first = arena.iova, .last = arena.iova + (arena.bytes - 1)};
        auto container = std::make_unique<vfio::IommuContainer>(address.text(), std::move(kept[0]),
                                                                std::move(kept[1]), mapped);
        auto backend =
            std::make_unique<vfio::VfioBackend>(std::move(container), std::move(kept[2]), address.text());
        backend_ = backend.get();
        device_ = std::make_unique<Device>(std::move(backend));
        follow_notices();
        note_arena(
            device_->adopt_arena({.file = std::move(kept[3]), .length = arena.bytes, .iova = arena.iova}));
    }

    Fd descriptor() override {
        Fd copy(::fcntl(backend_->device_fd(), F_DUPFD_CLOEXEC, 0));
        if (!copy)
            throw_errno(errno, "copy the descriptor of", address_.text());
        return copy;
    }

    void make_arena(std::uint64_t bytes, unsigned address_bits) override {
        note_arena(device_->create_arena({.size = bytes, .address_bits = address_bits}));
    }
    HeldArena arena() const noexcept override { return arena_; }

    std::vector<int> kept() const override {
        std::vector<int> all = backend_->descriptors();
        all.push_back(arena_.fd);
        return all;
    }
    bool bound_here() const noexcept override { return bound_here_; }

    void quiet() noexcept override { static_cast<void>(backend_->quiet()); }

    bool reset() override {
        if (!device_->resettable())
            return false;
        device_->reset();
        return true;
    }

    int release_notice() const noexcept override { return release_notice_.get(); }
    int error_notice() const noexcept override { return error_notice_.get(); }
    bool present() noexcept override { return backend_->present(); }

    void release() override {
        device_.reset();
        if (bound_here_)
            Binder().restore(address_);
        bound_here_ = false;
    }
    void let_go() override {
        device_.reset();
        Binder().let_go(address_);
        bound_here_ = false;
    }

  private:
    void follow_notices() {
        release_notice_ = make_eventfd();
        if (!backend_->set_notice(vfio::Notice::release, release_notice_.get()))
            release_notice_.reset();
        error_notice_ = make_eventfd();
        if (!backend_->set_notice(vfio::Notice::error, error_notice_.get()))
            error_notice_.reset();
    }

    void note_arena(const DmaArena& arena) {
        arena_ = {.fd = arena.fd(), .bytes = arena.span().length, .iova = arena.span().iova};
    }

    PciAddress address_;
    DeviceClaim claim_;
    bool bound_here_ = false;
    HeldArena arena_;
    Fd release_notice_;
    Fd error_notice_;
    vfio::VfioBackend* backend_ = nullptr;
    std::unique_ptr<Device> device_;
};

/// The server of the device sees a new client in every host.
class HeldUserDevice final : public HeldDevice {
  public:
    explicit HeldUserDevice(const DeviceName& name) : name_(name) {}
    HeldUserDevice(const DeviceName& name, std::vector<Fd> kept, HeldArena arena) : name_(name) {
        if (kept.size() != 1)
            throw_errno(EBADMSG, "go on with", name.text());
        memory_.emplace(DmaMemory::adopt(std::move(kept[0]), arena.bytes, name.text()));
    }

    Fd descriptor() override { return vfio_user::connect_to(std::string(name_.socket()), name_.text(), 5s); }
    void make_arena(std::uint64_t bytes, unsigned /*address_bits*/) override {
        memory_.emplace(DmaMemory::make({.size = bytes}, name_.text()));
    }
    HeldArena arena() const noexcept override {
        // Any address will do: there is no IOMMU, and nothing else is mapped.
        return memory_ ? HeldArena{.fd = memory_->fd(),
                                   .bytes = memory_->bytes().size(),
                                   .iova = DmaMemory::alignment}
                       : HeldArena{};
    }
    std::vector<int> kept() const override { return {memory_->fd()}; }
    bool bound_here() const noexcept override { return false; }
    // The server has seen the end of its client.
    void quiet() noexcept override {}
    bool reset() override { return false; }
    int release_notice() const noexcept override { return -1; }
    int error_notice() const noexcept override { return -1; }
    bool present() noexcept override { return true; }
    void release() override { memory_.reset(); }
    void let_go() override { memory_.reset(); }

  private:
    DeviceName name_;
    std::optional<DmaMemory> memory_;
};

}  // namespace

bool HeldDevice::in_machine(const DeviceName& name) {
    if (!name.pci())
        return true;
    std::error_code error;
    return std::filesystem::exists(Inventory().paths().sys / "bus/pci/devices" / name.pci()->text(), error);
}

std::unique_ptr<HeldDevice> HeldDevice::open(const DeviceName& name) {
    if (name.pci())
        return std::make_unique<HeldPciDevice>(*name.pci());
    return std::make_unique<HeldUserDevice>(name);
}

std::unique_ptr<HeldDevice> HeldDevice::adopt(const DeviceName& name, std::vector<Fd> kept, HeldArena arena,
                                              bool bound_here) {
    if (name.pci())
        return std::make_unique<HeldPciDevice>(*name.pci(), std::move(kept), arena, bound_here);
    return std::make_unique<HeldUserDevice>(name, std::move(kept), arena);
}

}  // namespace outboard
