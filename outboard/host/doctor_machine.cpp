#include "outboard/backend/pci/requirements.hpp"
#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/export/ublk/control.hpp"
#include "outboard/export/ublk/served_device.hpp"
#include "outboard/host/doctor.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

namespace outboard {

namespace {

namespace fs = std::filesystem;

Check check_release(const std::string& release) {
    unsigned major = 0;
    unsigned minor = 0;
    const char* const end = release.data() + release.size();
    if (const auto [dot, error] = std::from_chars(release.data(), end, major);
        error == std::errc() && dot != end)
        std::from_chars(dot + 1, end, minor);
    if (std::pair(major, minor) >= std::pair(6U, 1U))
        return {.name = "kernel", .result = CheckResult::ok, .text = "Linux " + release};
    return {.name = "kernel",
            .result = CheckResult::fail,
            .text = fmt::format("Linux {} is older than 6.1", release),
            .remedy = "use Linux 6.1 or newer"};
}

Check check_iommu(const Inventory& inventory) {
    std::error_code error;
    const auto groups = fs::directory_iterator(inventory.paths().sys / "kernel/iommu_groups", error);
    const auto count = error ? 0 : std::distance(groups, fs::directory_iterator());
    if (count > 0)
        return {.name = "iommu", .result = CheckResult::ok, .text = fmt::format("at work: {} groups", count)};
    return {.name = "iommu",
            .result = CheckResult::fail,
            .text = "no IOMMU is at work: nothing would confine a device's DMA",
            .remedy = iommu_remedy};
}

/// Loaded, to be loaded, or not there. Modules are named with '-' or '_' in file names, with '_' in sysfs.
Check check_module(const HostPaths& paths, const std::string& release, const std::string& name) {
    std::string loaded_name = name;
    std::ranges::replace(loaded_name, '-', '_');
    std::error_code error;
    if (fs::is_directory(paths.sys / "module" / loaded_name, error))
        return {.name = name, .result = CheckResult::ok, .text = "loaded"};
    for (const char* list : {"modules.dep", "modules.builtin"})
        if (try_read_text(paths.modules / release / list).value_or("").find("/" + name + ".ko") !=
            std::string::npos)
            return {.name = name,
                    .result = CheckResult::warn,
                    .text = "not loaded",
                    .remedy = fmt::format("run `modprobe {}` as root", name)};
    return {.name = name,
            .result = CheckResult::fail,
            .text = "this kernel has no such module",
            .remedy = fmt::format("use a distribution's kernel, or build one with {}",
                                  name == "vfio-pci" ? "CONFIG_VFIO_PCI" : "CONFIG_VFIO_IOMMU_TYPE1")};
}

Check check_unsafe_interrupts(const HostPaths& paths, Check type1) {
    const fs::path parameter = paths.sys / "module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
    if (type1.result != CheckResult::ok || try_read_text(parameter).value_or("N") != "Y")
        return type1;
    return {.name = type1.name,
            .result = CheckResult::warn,
            .text = "loaded, and a device may raise any interrupt of this machine (allow_unsafe_interrupts)",
            .remedy = "turn interrupt remapping on in the firmware, and the parameter off"};
}

Check check_vfio_file(const HostPaths& paths) {
    const fs::path path = paths.dev / "vfio/vfio";
    std::error_code error;
    if (!fs::exists(path, error))
        return {.name = "vfio-file",
                .result = CheckResult::warn,
                .text = fmt::format("there is no {}: VFIO is not loaded", path.string()),
                .remedy = "load vfio-pci"};
    if (::access(path.c_str(), R_OK | W_OK) == 0)
        return {.name = "vfio-file", .result = CheckResult::ok, .text = path.string() + " can be opened"};
    return {.name = "vfio-file",
            .result = CheckResult::fail,
            .text = path.string() + " cannot be opened by this user",
            .remedy = fmt::format("`chmod 666 {}` as root; it gives no rights on any device", path.string())};
}

Check check_huge_pages(const HostPaths& paths) {
    const std::string free =
        try_read_text(paths.sys / "kernel/mm/hugepages/hugepages-2048kB/free_hugepages").value_or("0");
    return {.name = "huge-pages",
            .result = CheckResult::ok,
            .text = free == "0" ? "none of 2 MiB are free; ordinary pages do" : free + " of 2 MiB are free"};
}

/// A check that failed with an Error, in its words.
Check from_error(const std::string& name, CheckResult result, const Error& error) {
    return {.name = name, .result = result, .text = error.parts().cause, .remedy = error.parts().remedy};
}

std::string feature_text(std::uint64_t features) {
    constexpr std::array names = {
        std::pair(ublk::feature::user_recovery, "user recovery"),
        std::pair(ublk::feature::user_recovery_reissue, "reissue"),
        std::pair(ublk::feature::user_copy, "user copy"),
        std::pair(ublk::feature::zero_copy, "zero copy"),
        std::pair(ublk::feature::auto_buffer_registration, "automatic buffers"),
        std::pair(ublk::feature::shared_memory_zero_copy, "shared-memory zero copy"),
    };
    std::string text = fmt::format("features {:#x}", features);
    const char* separator = ": ";
    for (const auto& [bit, name] : names)
        if ((features & bit) != 0)
            text += std::exchange(separator, ", ") + std::string(name);
    return text;
}

}  // namespace

const char* to_string(CheckResult result) noexcept {
    switch (result) {
        case CheckResult::ok:
            return "ok";
        case CheckResult::warn:
            return "warn";
        case CheckResult::fail:
            return "FAIL";
    }
    return "unknown";
}

std::vector<Check> check_machine(const Inventory& inventory, const std::string& release) {
    const HostPaths& paths = inventory.paths();
    return {check_release(release),
            check_iommu(inventory),
            check_module(paths, release, "vfio-pci"),
            check_unsafe_interrupts(paths, check_module(paths, release, "vfio_iommu_type1")),
            check_vfio_file(paths),
            check_huge_pages(paths)};
}

Check check_memory_lock_limit(const vfio::MemoryLock& lock, std::uint64_t needed) {
    if (lock.exempt)
        return {.name = "memory-lock", .result = CheckResult::ok, .text = "no limit holds (CAP_IPC_LOCK)"};
    if (lock.soft_limit == UINT64_MAX)
        return {.name = "memory-lock", .result = CheckResult::ok, .text = "no limit"};
    try {
        vfio::check_memory_lock(lock, needed, "a device");
    } catch (const Error& error) {
        return from_error("memory-lock", CheckResult::fail, error);
    }
    return {.name = "memory-lock",
            .result = CheckResult::ok,
            .text = fmt::format("{} KiB may be locked, a driver takes {} KiB", lock.soft_limit / 1024,
                                needed / 1024)};
}

Check check_io_uring() {
    try {
        const RunLoop loop;
        return {.name = "io_uring", .result = CheckResult::ok, .text = "can be used"};
    } catch (const Error& error) {
        return from_error("io_uring", CheckResult::fail, error);
    }
}

std::vector<Check> check_ublk() {
    std::vector<Check> checks;
    try {
        RunLoop loop;
        ublk::Control control(loop);
        const std::uint64_t features = loop.run(control.features());
        checks.push_back({.name = "ublk", .result = CheckResult::ok, .text = feature_text(features)});
        for (const ublk::ServedDevice& device : loop.run(ublk::find_served_devices(control)))
            if (!device.has_server())
                checks.push_back({.name = "left-behind",
                                  .result = CheckResult::warn,
                                  .text = ublk::describe_left_behind(device),
                                  .remedy = {}});
    } catch (const Error& error) {
        // Without ublk a disk can be measured and used by programs, only not mounted.
        checks.push_back(from_error("ublk", CheckResult::warn, error));
    }
    return checks;
}

}  // namespace outboard
