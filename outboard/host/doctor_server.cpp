#include "outboard/backend/pci/names.hpp"
#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"
#include "outboard/host/doctor.hpp"
#include "outboard/host/driver_table.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace outboard {

namespace {

Check check_regions(Device& device) {
    constexpr unsigned bars = 6;
    std::string text;
    for (unsigned bar = 0; bar < bars; ++bar) {
        const RegionInfo info = device.backend().region_info(static_cast<RegionIndex>(bar));
        if (info.size == 0)
            continue;
        std::uint64_t shared = 0;
        for (const MappableArea& area : info.mappable)
            shared += area.size;
        text +=
            fmt::format("{}BAR {}: {} bytes, {} shared", text.empty() ? "" : "; ", bar, info.size, shared);
    }
    return {.name = "regions", .result = CheckResult::ok, .text = text.empty() ? "no BARs" : text};
}

Check check_interrupts(const Device& device) {
    std::string text;
    const auto add = [&](const char* kind, InterruptKind which) {
        if (const unsigned count = device.interrupt_count(which); count != 0)
            text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", kind, count);
    };
    add("INTx", InterruptKind::intx);
    add("MSI", InterruptKind::msi);
    add("MSI-X", InterruptKind::msix);
    return {.name = "interrupts",
            .result = CheckResult::ok,
            .text = text.empty() ? "none: its driver has to poll" : text};
}

}  // namespace

std::vector<Check> check_served_device(const std::string& name) {
    std::unique_ptr<Device> device;
    try {
        device = Device::open(name);
    } catch (const Error& error) {
        return {{.name = "server",
                 .result = CheckResult::fail,
                 .text = error.parts().cause,
                 .remedy = error.parts().remedy}};
    }
    const PciIdentity identity = device->config().identity();
    return {{.name = "server", .result = CheckResult::ok, .text = "answers"},
            {.name = "device", .result = CheckResult::ok, .text = PciNames::load().device(identity)},
            check_outboard_driver(identity),
            check_regions(*device),
            check_interrupts(*device)};
}

}  // namespace outboard
