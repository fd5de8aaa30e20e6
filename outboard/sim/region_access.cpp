#include "outboard/sim/region_access.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace outboard::sim {

namespace {

constexpr unsigned widest = 8;

/// The largest naturally aligned access at `offset` of at most `size` bytes.
unsigned width_at(std::uint64_t offset, std::size_t size) noexcept {
    const std::uint64_t alignment = offset == 0 ? widest : offset & (~offset + 1);
    return static_cast<unsigned>(std::min<std::uint64_t>({alignment, std::bit_floor(size), widest}));
}

/// The shared memory under an access, or null when the model has to be asked.
std::byte* shared_at(PciModel& model, unsigned bar, std::uint64_t offset) noexcept {
    for (const SharedArea& area : model.description().bars[bar].shared)
        if (offset - area.offset < area.size)
            return model.shared(bar).data() + offset;
    return nullptr;
}

template <class T>
std::uint64_t load(const std::byte* place) noexcept {
    return *reinterpret_cast<const volatile T*>(place);
}

template <class T>
void store(std::byte* place, std::uint64_t value) noexcept {
    *reinterpret_cast<volatile T*>(place) = static_cast<T>(value);
}

std::uint64_t load_shared(const std::byte* place, unsigned width) noexcept {
    switch (width) {
        case 1:
            return load<std::uint8_t>(place);
        case 2:
            return load<std::uint16_t>(place);
        case 4:
            return load<std::uint32_t>(place);
        default:
            return load<std::uint64_t>(place);
    }
}

void store_shared(std::byte* place, unsigned width, std::uint64_t value) noexcept {
    switch (width) {
        case 1:
            return store<std::uint8_t>(place, value);
        case 2:
            return store<std::uint16_t>(place, value);
        case 4:
            return store<std::uint32_t>(place, value);
        default:
            return store<std::uint64_t>(place, value);
    }
}

std::uint64_t read_bar(PciModel& model, unsigned bar, std::uint64_t offset, unsigned width) {
    if (model.faults().strike(FaultKind::all_ones))
        model.remove();
    if (model.removed())
        return ~std::uint64_t{0};
    if (const std::byte* const place = shared_at(model, bar, offset); place != nullptr)
        return load_shared(place, width);
    if (model.msix_table().owns(bar, offset, width))
        return model.msix_table().read(bar, offset, width);
    return model.read(bar, offset, width);
}

void write_bar(PciModel& model, unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) {
    if (std::byte* const place = shared_at(model, bar, offset); place != nullptr)
        store_shared(place, width, value);
    else if (model.msix_table().owns(bar, offset, width))
        model.msix_table().write(bar, offset, width, value);
    else
        model.write(bar, offset, width, value);
}

bool inside(const PciModel& model, unsigned region, std::uint64_t offset, std::size_t size) noexcept {
    const std::uint64_t whole = region_size(model, region);
    return size > 0 && offset < whole && size <= whole - offset;
}

}  // namespace

unsigned region_count(const PciModel& model) noexcept {
    return model.fault_port().size() == 0 ? fault_port_region : fault_port_region + 1;
}

std::uint64_t region_size(const PciModel& model, unsigned region) noexcept {
    if (region == fault_port_region)
        return model.fault_port().size();
    if (region < bar_count)
        return model.description().bars[region].size;
    if (region == config_region)
        return model.description().pci_express ? 4096 : 256;
    return 0;
}

int read_region(PciModel& model, unsigned region, std::uint64_t offset, std::span<std::byte> data) {
    if (!inside(model, region, offset, data.size()))
        return EINVAL;
    if (region == fault_port_region) {
        model.fault_port().read(offset, data);
        return 0;
    }
    if (region == config_region) {
        model.config().read(offset, data);
        if (model.removed())
            std::ranges::fill(data, std::byte{0xff});
        return 0;
    }
    while (!data.empty()) {
        const unsigned width = width_at(offset, data.size());
        const std::uint64_t value = read_bar(model, region, offset, width);
        std::memcpy(data.data(), &value, width);
        data = data.subspan(width);
        offset += width;
    }
    return 0;
}

int write_region(PciModel& model, unsigned region, std::uint64_t offset, std::span<const std::byte> data) {
    if (!inside(model, region, offset, data.size()))
        return EINVAL;
    if (region == fault_port_region)
        return model.fault_port().write(offset, data) ? 0 : EINVAL;
    if (model.removed())
        return 0;
    if (region == config_region) {
        model.config().write(offset, data);
        model.dma().set_bus_master(model.config().bus_master());
        model.interrupts().update();
        model.config_written(offset, data.size());
        return 0;
    }
    while (!data.empty()) {
        const unsigned width = width_at(offset, data.size());
        std::uint64_t value = 0;
        std::memcpy(&value, data.data(), width);
        write_bar(model, region, offset, width, value);
        data = data.subspan(width);
        offset += width;
    }
    return 0;
}

}  // namespace outboard::sim
