#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/claim.hpp"
#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/requirements.hpp"
#include "outboard/cli/verb.hpp"

#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace outboard::cli {

namespace {

nlohmann::json driver_json(const std::string& driver) {
    return driver.empty() ? nlohmann::json() : nlohmann::json(driver);
}

std::string driver_text(const std::string& driver) {
    return driver.empty() ? "no driver" : driver;
}

void print_change(const PciAddress& address, const BindingChange& change, bool json) {
    const std::string name = address.text();
    if (json)
        print_json({{"device", name},
                    {"driver_before", driver_json(change.before)},
                    {"driver", driver_json(change.after)}});
    else if (change.before == change.after)
        print_text(fmt::format("{} stays with {}\n", name, driver_text(change.after)));
    else if (change.after == vfio_driver)
        print_text(fmt::format("{} goes from {} to {}; `outboard unbind {}` gives it back\n", name,
                               driver_text(change.before), driver_text(change.after), name));
    else
        print_text(fmt::format("{} goes from {} to {}\n", name, driver_text(change.before),
                               driver_text(change.after)));
}

}  // namespace

void add_bind_verb(CLI::App& app, Invocation& invocation) {
    CLI::App* verb =
        app.add_subcommand("bind", "Take a device from its kernel driver, for drivers outside the kernel");
    const auto device = std::make_shared<std::string>();
    verb->add_option("DEVICE", *device, "Its PCI address in full, such as 0000:00:04.0")->required();
    add_json_flag(*verb, invocation);
    verb->callback([device, &invocation] {
        const PciAddress address = PciAddress::parse(*device);
        const DeviceClaim claim(Inventory().device(address));
        print_change(address, Binder().bind(address), invocation.json);
    });
}

void add_unbind_verb(CLI::App& app, Invocation& invocation) {
    CLI::App* verb =
        app.add_subcommand("unbind", "Give a device back to the kernel driver it had before `bind`");
    const auto device = std::make_shared<std::string>();
    verb->add_option("DEVICE", *device, "Its PCI address in full, such as 0000:00:04.0")->required();
    add_json_flag(*verb, invocation);
    verb->callback([device, &invocation] {
        const PciAddress address = PciAddress::parse(*device);
        const DeviceClaim claim(Inventory().device(address));
        print_change(address, Binder().restore(address), invocation.json);
    });
}

}  // namespace outboard::cli
