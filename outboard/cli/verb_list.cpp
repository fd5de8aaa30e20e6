#include "outboard/backend/device_name.hpp"
#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/names.hpp"
#include "outboard/backend/pci/usage.hpp"
#include "outboard/cli/table.hpp"
#include "outboard/cli/verb.hpp"
#include "outboard/device/device.hpp"
#include "outboard/host/driver_table.hpp"

#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace outboard::cli {

namespace {

/// A device and what has to be looked up for it.
struct Row {
    std::string address;
    PciDevice device;  ///< of a vfio-user device only the identity
    std::string name;
    std::string class_name;
    std::vector<std::string> group_companions;
    std::vector<std::string> users;
    const KnownDriver* outboard_driver = nullptr;
};

std::vector<Row> collect(bool all) {
    constexpr std::uint8_t bridges = 0x06;  // base class: host, ISA and PCI bridges
    const Inventory inventory;
    const PciNames names = PciNames::load();
    std::vector<Row> rows;
    for (PciDevice& device : inventory.devices()) {
        if (!all && device.identity.base_class == bridges)
            continue;
        Row row{.address = device.address.text(),
                .device = std::move(device),
                .name = {},
                .class_name = {},
                .group_companions = {},
                .users = {},
                .outboard_driver = nullptr};
        row.name = names.device(row.device.identity);
        row.class_name = names.device_class(row.device.identity);
        if (row.device.iommu_group)
            for (const PciDevice& member : inventory.group(*row.device.iommu_group))
                if (member.address != row.device.address)
                    row.group_companions.push_back(member.address.text());
        row.users = device_users(inventory, row.device);
        row.outboard_driver = find_driver(row.device.identity);
        rows.push_back(std::move(row));
    }
    return rows;
}

/// Asks a server about its device.
std::vector<Row> collect_from_server(const DeviceName& name) {
    const PciIdentity identity = Device::open(name.text())->config().identity();
    const PciNames names = PciNames::load();
    Row row;
    row.address = name.text();
    row.device.identity = identity;
    row.name = names.device(identity);
    row.class_name = names.device_class(identity);
    row.outboard_driver = find_driver(identity);
    return {std::move(row)};
}

std::vector<Row> collect(const std::string& device, bool all) {
    if (device.empty())
        return collect(all);
    const DeviceName name = DeviceName::parse(device);
    if (!name.pci())
        return collect_from_server(name);
    std::vector<Row> rows = collect(true);
    std::erase_if(rows, [&](const Row& row) { return row.address != name.text(); });
    if (rows.empty())
        static_cast<void>(Inventory().device(*name.pci()));  // says that there is none
    return rows;
}

std::string group_text(const Row& row) {
    if (!row.device.iommu_group)
        return "-";
    if (row.group_companions.empty())
        return fmt::format("{}", *row.device.iommu_group);
    return fmt::format("{} (+{})", *row.device.iommu_group, row.group_companions.size());
}

nlohmann::json text_or_null(std::string_view text) {
    return text.empty() ? nlohmann::json() : nlohmann::json(text);
}

nlohmann::json to_json(const Row& row) {
    const PciIdentity& identity = row.device.identity;
    nlohmann::json group;
    if (row.device.iommu_group)
        group = *row.device.iommu_group;
    return {{"address", row.address},
            {"vendor_id", fmt::format("{:04x}", identity.vendor)},
            {"device_id", fmt::format("{:04x}", identity.device)},
            {"class_id", fmt::format("{:02x}{:02x}{:02x}", identity.base_class, identity.sub_class,
                                     identity.programming_interface)},
            {"name", row.name},
            {"class", row.class_name},
            {"iommu_group", group},
            {"group_companions", row.group_companions},
            {"driver", text_or_null(row.device.driver)},
            {"in_use_by", row.users},
            {"outboard_driver",
             row.outboard_driver ? nlohmann::json(row.outboard_driver->name) : nlohmann::json()}};
}

void list(const std::string& device, bool all, bool json) {
    const std::vector<Row> rows = collect(device, all);
    if (json) {
        nlohmann::json devices = nlohmann::json::array();
        for (const Row& row : rows)
            devices.push_back(to_json(row));
        print_json({{"devices", std::move(devices)}});
        return;
    }
    Table table({"ADDRESS", "CLASS", "DEVICE", "GROUP", "DRIVER", "OUTBOARD", "IN USE"});
    for (const Row& row : rows)
        table.add({row.address, row.class_name, row.name, group_text(row),
                   row.device.driver.empty() ? "-" : row.device.driver,
                   row.outboard_driver ? std::string(row.outboard_driver->name) : "-", join(row.users)});
    print_text(table.text());
}

}  // namespace

void add_list_verb(CLI::App& app, Invocation& invocation) {
    CLI::App* verb =
        app.add_subcommand("list", "List PCI devices: who drives them, who could, who uses them");
    const auto device = std::make_shared<std::string>();
    const auto all = std::make_shared<bool>(false);
    verb->add_option("DEVICE", *device, device_help);
    verb->add_flag("--all", *all, "Show bridges too");
    add_json_flag(*verb, invocation);
    verb->callback([device, all, &invocation] { list(*device, *all, invocation.json); });
}

}  // namespace outboard::cli
