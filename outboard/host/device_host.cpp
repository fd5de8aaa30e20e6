#include "outboard/host/device_host.hpp"

#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/requirements.hpp"
#include "outboard/base/error.hpp"
#include "outboard/host/driver_table.hpp"

#include <array>
#include <exception>
#include <functional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

/// Gives the device back. That it failed is only reported: the caller throws what came first.
void restore_after_failure(const PciAddress& address, const std::function<void(std::string_view)>& report) {
    try {
        Binder().restore(address);
    } catch (const Error& error) {
        if (report)
            report(error.what());
    }
}

}  // namespace

Task<std::unique_ptr<DeviceHost>> DeviceHost::open(RunLoop& loop, DeviceHostOptions options) {
    std::unique_ptr<DeviceHost> self(new DeviceHost);
    self->name_ = options.device;
    if (self->name_.pci())
        self->take(*self->name_.pci());

    Task<void> started = self->start_or_undo(loop, std::move(options));
    co_await std::move(started);
    co_return std::move(self);
}

Task<void> DeviceHost::restart(RunLoop& loop, DeviceHostOptions options) {
    const std::function<void(std::string_view)> report = options.driver.report;
    std::exception_ptr failure;
    try {
        Task<void> rest = driver_->shut_down();
        co_await std::move(rest);
    } catch (...) {
        failure = std::current_exception();
    }
    driver_.reset();
    device_.reset();
    if (failure) {
        if (bound_here_)
            restore_after_failure(*name_.pci(), report);
        std::rethrow_exception(failure);
    }
    Task<void> started = start_or_undo(loop, std::move(options));
    co_await std::move(started);
}

Task<void> DeviceHost::start_or_undo(RunLoop& loop, DeviceHostOptions options) {
    const std::function<void(std::string_view)> report = options.driver.report;
    std::exception_ptr failure;
    try {
        Task<void> started = start(loop, std::move(options));
        co_await std::move(started);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure)
        co_return;
    driver_.reset();
    device_.reset();
    if (bound_here_)
        restore_after_failure(*name_.pci(), report);
    std::rethrow_exception(failure);
}

/// Claims a PCI device and binds it to vfio-pci, once it is known that there is a driver.
void DeviceHost::take(const PciAddress& address) {
    const PciDevice device = Inventory().device(address);
    description_ = &load_driver(require_driver(name_.text(), device.identity));
    claim_ = DeviceClaim(device);
    bound_here_ = Inventory().device(address).driver != vfio_driver;
    if (bound_here_)
        Binder().bind(address);
}

Task<void> DeviceHost::start(RunLoop& loop, DeviceHostOptions options) {
    device_ = Device::open(name_.text());
    if (description_ == nullptr)
        description_ = &load_driver(require_driver(name_.text(), device_->config().identity()));
    if (options.adapt)
        options.adapt(*description_, options);
    device_->create_arena({.size = description_->dma_bytes_for(options.driver) + options.arena_bytes,
                           .address_bits = description_->dma_address_bits});
    Task<std::unique_ptr<Driver>> started = description_->start(*device_, loop, std::move(options.driver));
    driver_ = co_await std::move(started);
}

BlockDevice& DeviceHost::disk(unsigned index) {
    const std::vector<BlockDevice*> disks = driver_->block_devices();
    if (index < disks.size())
        return *disks[index];
    std::string found;
    for (std::size_t i = 0; i < disks.size(); ++i)
        found += fmt::format("{}{}: {}", i == 0 ? "" : ", ", i, describe_disk(disks[i]->info()));
    throw Error({.kind = ErrorKind::not_found,
                 .action = fmt::format("use disk {} of", index),
                 .subject = name_.text(),
                 .cause = disks.empty() ? "no disk answers on it" : "its disks are " + found,
                 .remedy = disks.empty() ? "" : "choose one with --disk"});
}

Task<void> DeviceHost::close(bool hand_back) {
    std::exception_ptr failure;
    try {
        Task<void> rest = driver_->shut_down();
        co_await std::move(rest);
    } catch (...) {
        failure = std::current_exception();
    }
    driver_.reset();
    device_.reset();
    if (hand_back && name_.pci())
        Binder().restore(*name_.pci());
    if (failure)
        std::rethrow_exception(failure);
}

std::string format_bytes(std::uint64_t bytes) {
    constexpr std::array units{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit)
        value /= 1024;
    const bool whole = value == static_cast<double>(static_cast<std::uint64_t>(value));
    return fmt::format("{:.{}f} {}", value, whole ? 0 : 1, units[unit]);
}

std::string describe_disk(const BlockInfo& info) {
    return fmt::format("{}  {}  {}", format_bytes(info.capacity), info.model, info.serial);
}

}  // namespace outboard
