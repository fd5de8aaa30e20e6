#include "outboard/backend/device_name.hpp"
#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/vfio/memory_lock.hpp"
#include "outboard/cli/table.hpp"
#include "outboard/cli/verb.hpp"
#include "outboard/export/ublk/ublk_export.hpp"
#include "outboard/host/doctor.hpp"
#include "outboard/host/driver_table.hpp"

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <sys/utsname.h>

namespace outboard::cli {

namespace {

/// What `outboard run` locks at most with its own choices.
std::uint64_t usual_dma_bytes() {
    constexpr std::uint16_t usual_depth = 32;
    std::uint64_t most = 0;
    for (const DriverDescription* const driver : built_in_drivers()) {
        DriverOptions options;
        if (driver->makes_queues())
            options.queues = std::max(1U, std::thread::hardware_concurrency());
        const std::size_t requests =
            ublk::export_arena_bytes(static_cast<std::uint16_t>(options.queues), usual_depth);
        most = std::max<std::uint64_t>(most, driver->dma_bytes_for(options) + requests);
    }
    return most;
}

struct Subject {
    std::string name;  ///< "machine", or a device's name
    std::vector<Check> checks;
};

Subject look_at_machine(const Inventory& inventory) {
    utsname names{};
    ::uname(&names);
    Subject machine{.name = "machine", .checks = check_machine(inventory, names.release)};
    machine.checks.push_back(check_memory_lock_limit(vfio::current_memory_lock(), usual_dma_bytes()));
    machine.checks.push_back(check_io_uring());
    for (Check& check : check_ublk())
        machine.checks.push_back(std::move(check));
    return machine;
}

/// Of the machine, a device that a server offers needs nothing but io_uring.
std::vector<Subject> look_at_served(const DeviceName& device) {
    return {{.name = "machine", .checks = {check_io_uring()}},
            {.name = device.text(), .checks = check_served_device(device.text())}};
}

std::vector<Subject> look(const std::string& device) {
    const DeviceName name = device.empty() ? DeviceName() : DeviceName::parse(device);
    if (!device.empty() && !name.pci())
        return look_at_served(name);
    const Inventory inventory;
    std::vector<Subject> subjects = {look_at_machine(inventory)};
    if (name.pci())
        subjects.push_back({.name = name.text(), .checks = check_device(inventory, *name.pci())});
    return subjects;
}

nlohmann::json to_json(const std::vector<Subject>& subjects, bool healthy) {
    nlohmann::json checks = nlohmann::json::array();
    for (const Subject& subject : subjects)
        for (const Check& check : subject.checks) {
            std::string result = to_string(check.result);
            std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
            checks.push_back({{"subject", subject.name},
                              {"name", check.name},
                              {"result", result},
                              {"text", check.text},
                              {"remedy", check.remedy}});
        }
    return {{"healthy", healthy}, {"checks", std::move(checks)}};
}

std::string to_text(const std::vector<Subject>& subjects) {
    Table table({"RESULT", "SUBJECT", "CHECK", "FOUND"});
    for (const Subject& subject : subjects)
        for (const Check& check : subject.checks) {
            table.add({to_string(check.result), subject.name, check.name, check.text});
            if (!check.remedy.empty())
                table.add({"", "", "", "→ " + check.remedy});
        }
    return table.text();
}

void examine(const std::string& device, Invocation& invocation) {
    const std::vector<Subject> subjects = look(device);
    const bool healthy = std::ranges::all_of(subjects, [](const Subject& subject) {
        return std::ranges::none_of(subject.checks,
                                    [](const Check& check) { return check.result == CheckResult::fail; });
    });
    if (invocation.json)
        print_json(to_json(subjects, healthy));
    else
        print_text(to_text(subjects));
    invocation.exit_status = healthy ? 0 : 1;
}

}  // namespace

void add_doctor_verb(CLI::App& app, Invocation& invocation) {
    CLI::App* verb =
        app.add_subcommand("doctor", "Look whether devices can be driven here, and say what to do");
    const auto device = std::make_shared<std::string>();
    verb->add_option("DEVICE", *device,
                     "Look at this device too: its PCI address in full, or vfio-user:PATH");
    add_json_flag(*verb, invocation);
    verb->callback([device, &invocation] { examine(*device, invocation); });
}

}  // namespace outboard::cli
