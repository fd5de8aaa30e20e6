#include "outboard/drivers/nvme/bring_up.hpp"

#include "outboard/base/error.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/drivers/nvme/prp.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace outboard::nvme {

namespace {

using namespace std::chrono_literals;

constexpr Duration ready_unit = 500ms;
constexpr Duration look_interval = 500us;

[[noreturn]] void throw_gone(const std::string& name) {
    throw outboard::Error({.kind = ErrorKind::io,
                           .action = "reach",
                           .subject = name,
                           .cause = "its registers read as all ones: it was removed, or has lost power",
                           .remedy = {}});
}

std::span<const std::byte, identify_bytes> told(const ControllerAccess& access) {
    return access.page.bytes().first<identify_bytes>();
}

bool before_version(const ControllerAccess& access, unsigned major, unsigned minor) {
    const auto version = access.registers.read<Version>();
    return std::pair(version[Version::major], version[Version::minor]) < std::pair(major, minor);
}

}  // namespace

Duration ready_limit(const RegisterBlock<register_bytes>& registers) {
    const auto capabilities = registers.read<Capabilities>();
    unsigned units = capabilities[Capabilities::timeout];
    if (capabilities[Capabilities::ready_with_media])
        units = std::max(units, registers.read<ReadyTimeouts>()[ReadyTimeouts::with_media]);
    return std::max(units, 1U) * ready_unit;
}

Task<void> disable_controller(ControllerAccess access) {
    if (all_ones(access.registers.read<ControllerStatus>()))
        throw_gone(access.name);
    access.registers.modify<Configuration>([](Value<Configuration> value) {
        return value.with(Configuration::enable, false)
            .with(Configuration::shutdown, ShutdownNotification::none);
    });
    const std::string what = fmt::format("CSTS.RDY clear on {}", access.name);
    Task<void> waiting = wait_until(
        access.loop,
        [&access] {
            const auto status = access.registers.read<ControllerStatus>();
            return all_ones(status) || !status[ControllerStatus::ready];
        },
        access.limits.ready, look_interval, what);
    co_await std::move(waiting);
    if (all_ones(access.registers.read<ControllerStatus>()))
        throw_gone(access.name);
}

Task<void> enable_controller(ControllerAccess access) {
    access.admin.restart();
    const auto attributes = Value<AdminQueueAttributes>()
                                .with(AdminQueueAttributes::submission_entries, AdminQueue::entries - 1)
                                .with(AdminQueueAttributes::completion_entries, AdminQueue::entries - 1);
    access.registers.write(attributes);
    access.registers.write(Value<AdminSubmissionQueue>(access.admin.submission_iova()));
    access.registers.write(Value<AdminCompletionQueue>(access.admin.completion_iova()));
    // CC.CSS = 0: the NVM command set; CC.MPS = 0: pages of 4096 bytes; CC.AMS = 0: round robin.
    access.registers.write(Value<Configuration>()
                               .with(Configuration::submission_entry_size_log2, submission_entry_size_log2)
                               .with(Configuration::completion_entry_size_log2, completion_entry_size_log2)
                               .with(Configuration::enable));
    const std::string what = fmt::format("CSTS.RDY set on {}", access.name);
    Task<void> waiting = wait_until(
        access.loop,
        [&access] {
            const auto status = access.registers.read<ControllerStatus>();
            return status[ControllerStatus::ready] || status[ControllerStatus::fatal];
        },
        access.limits.ready, look_interval, what);
    co_await std::move(waiting);
    const auto status = access.registers.read<ControllerStatus>();
    if (all_ones(status))
        throw_gone(access.name);
    if (status[ControllerStatus::fatal])
        throw outboard::Error({.kind = ErrorKind::io,
                               .action = "enable",
                               .subject = access.name,
                               .cause = "the controller reports a fatal status (CSTS.CFS)",
                               .remedy = {}});
}

Task<ControllerIdentity> identify_controller(ControllerAccess access) {
    Task<std::uint32_t> command = access.admin.run(identify(IdentifyWhat::controller, 0, access.page.iova),
                                                   access.limits.command, "Identify Controller");
    co_await std::move(command);
    auto identity = parse_controller(told(access));
    if (!identity)
        refuse_device(access.name, std::string(identity.error()));
    co_return std::move(*identity);
}

Task<std::vector<std::uint32_t>> list_namespaces(ControllerAccess access,
                                                 const ControllerIdentity& identity) {
    if (!before_version(access, 1, 1)) {
        Task<std::uint32_t> command =
            access.admin.run(identify(IdentifyWhat::active_namespaces, 0, access.page.iova),
                             access.limits.command, "Identify (active namespaces)");
        co_await std::move(command);
        co_return parse_namespace_list(told(access));
    }
    std::vector<std::uint32_t> ids;
    for (std::uint32_t id = 1; id <= std::min<std::uint32_t>(identity.namespaces, 1024); ++id)
        ids.push_back(id);
    co_return ids;
}

Task<NamespaceIdentity> identify_namespace(ControllerAccess access, std::uint32_t id) {
    const std::string what = fmt::format("Identify Namespace {}", id);
    Task<std::uint32_t> command = access.admin.run(identify(IdentifyWhat::name_space, id, access.page.iova),
                                                   access.limits.command, what);
    co_await std::move(command);
    const auto identity = parse_namespace(id, told(access));
    if (!identity)
        throw outboard::Error({.kind = ErrorKind::unsupported,
                               .action = fmt::format("use namespace {} of", id),
                               .subject = access.name,
                               .cause = std::string(identity.error()),
                               .remedy = {}});
    co_return *identity;
}

Task<unsigned> set_queue_count(ControllerAccess access, unsigned pairs) {
    // Both counts are given less one (Base 5.27.1.5).
    const std::uint32_t wanted = pairs - 1;
    Task<std::uint32_t> command =
        access.admin.run(set_features(Feature::number_of_queues, wanted << 16 | wanted),
                         access.limits.command, "Set Features (number of queues)");
    const std::uint32_t granted = co_await std::move(command);
    co_return std::min(granted & 0xffff, granted >> 16) + 1;
}

Task<bool> set_write_cache(ControllerAccess access, std::optional<bool> on) {
    if (on) {
        Task<std::uint32_t> setting =
            access.admin.run(set_features(Feature::volatile_write_cache, *on ? 1 : 0), access.limits.command,
                             "Set Features (volatile write cache)");
        co_await std::move(setting);
    }
    Task<std::uint32_t> command =
        access.admin.run(get_features(Feature::volatile_write_cache), access.limits.command,
                         "Get Features (volatile write cache)");
    const std::uint32_t value = co_await std::move(command);
    co_return (value & 1) != 0;
}

Task<void> shut_controller_down(ControllerAccess access, Duration limit) {
    access.registers.modify<Configuration>([](Value<Configuration> value) {
        return value.with(Configuration::shutdown, ShutdownNotification::normal);
    });
    const std::string what = fmt::format("CSTS.SHST complete on {}", access.name);
    Task<void> waiting = wait_until(
        access.loop,
        [&access] {
            const auto status = access.registers.read<ControllerStatus>();
            return all_ones(status) || status[ControllerStatus::shutdown] == ShutdownStatus::complete;
        },
        limit, look_interval, what);
    co_await std::move(waiting);
    if (all_ones(access.registers.read<ControllerStatus>()))
        throw_gone(access.name);
}

}  // namespace outboard::nvme
