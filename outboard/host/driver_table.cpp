#include "outboard/host/driver_table.hpp"

#include "outboard/base/error.hpp"
#include "outboard/drivers/ahci/ahci.hpp"
#include "outboard/drivers/edu/edu.hpp"
#include "outboard/drivers/ide/ide.hpp"
#include "outboard/drivers/nvme/nvme.hpp"
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

constexpr std::string_view module_prefix = "liboutboard-driver-";

std::vector<KnownDriver>& table() {
    static std::vector<KnownDriver> drivers = [] {
        std::vector<KnownDriver> built_in;
        for (const DriverDescription* const driver : built_in_drivers())
            built_in.push_back({.name = driver->name, .built_in = driver});
        return built_in;
    }();
    return drivers;
}

}  // namespace

std::string_view KnownDriver::match(const PciIdentity& identity) const noexcept {
    if (built_in != nullptr)
        return built_in->match(identity);
    const auto found =
        std::ranges::find_if(module.devices, [&](const PciMatch& entry) { return entry.fits(identity); });
    return found == module.devices.end() ? std::string_view() : found->name;
}

std::span<const DriverDescription* const> built_in_drivers() noexcept {
    static constexpr std::array drivers{&ide::description, &nvme::description, &ahci::description,
                                        &virtio_blk::description, &edu::description};
    return drivers;
}

std::span<const KnownDriver> known_drivers() {
    return table();
}

const KnownDriver* find_driver(const PciIdentity& identity) {
    const auto found = std::ranges::find_if(
        table(), [&](const KnownDriver& driver) { return !driver.match(identity).empty(); });
    return found == table().end() ? nullptr : &*found;
}

void add_driver_module(const std::filesystem::path& file) {
    ModuleFile module = open_module(std::filesystem::absolute(file));
    KnownDriver driver{.module = std::move(module.description), .file = std::move(module.path)};
    driver.name = *driver.module.driver;
    table().insert(table().begin(), std::move(driver));
}

std::vector<std::string> add_driver_modules(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        const std::string name = entry.path().filename();
        if (name.starts_with(module_prefix) && name.ends_with(".so"))
            files.push_back(entry.path());
    }
    std::ranges::sort(files);
    std::vector<std::string> refused;
    for (const std::filesystem::path& file : files) {
        try {
            add_driver_module(file);
        } catch (const Error& failure) {
            refused.emplace_back(failure.what());
        }
    }
    return refused;
}

std::filesystem::path driver_folder() {
    const char* const folder = std::getenv("OUTBOARD_DRIVERS");
    return folder != nullptr && *folder != '\0' ? folder : OUTBOARD_DRIVER_FOLDER;
}

const DriverDescription& load_driver(const KnownDriver& driver) {
    return driver.built_in != nullptr ? *driver.built_in : load_module(driver.file, driver.name);
}

const KnownDriver& require_driver(const std::string& device, const PciIdentity& identity,
                                  std::string_view name) {
    const KnownDriver* found = nullptr;
    if (name.empty()) {
        found = find_driver(identity);
    } else {
        const auto named = std::ranges::find(table(), name, &KnownDriver::name);
        if (named == table().end()) {
            std::string names;
            for (const KnownDriver& driver : table())
                names += fmt::format("{}{}", names.empty() ? "" : ", ", driver.name);
            throw Error({.kind = ErrorKind::not_found,
                         .action = "drive",
                         .subject = device,
                         .cause = fmt::format("there is no driver '{}'; there are {}", name, names),
                         .remedy = {}});
        }
        found = &*named;
    }
    if (found && !found->match(identity).empty())
        return *found;
    throw Error({.kind = ErrorKind::unsupported,
                 .action = "drive",
                 .subject = device,
                 .cause = fmt::format("{} {:04x}:{:04x} (class {:02x}{:02x}{:02x})",
                                      found ? fmt::format("the driver {} does not know", found->name)
                                            : "no driver of this program knows",
                                      identity.vendor, identity.device, identity.base_class,
                                      identity.sub_class, identity.programming_interface),
                 .remedy = "`outboard list` shows who could drive what"});
}

}  // namespace outboard
