#include "outboard/drivers/ahci/port_link.hpp"

#include "outboard/ata/error.hpp"
#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>

#include <fmt/format.h>

namespace outboard::ahci {

namespace {

using namespace std::chrono_literals;

/// Of the HBA, to stop a port (10.1.2).
constexpr Duration stop_limit = 500ms;
/// From a reset until the link is up: a disk answers within milliseconds.
constexpr Duration link_limit = 1s;
/// COMRESET is sent for at least 1 ms (10.4.2).
constexpr Duration reset_time = 1ms;
constexpr Duration poll_interval = 1ms;
constexpr Duration command_poll_interval = 100us;

constexpr unsigned setup_slot = 0;
constexpr std::uint8_t not_queued = 0x80;  ///< NQ, in byte 0 of the log

constexpr std::uint32_t low(std::uint64_t value) {
    return static_cast<std::uint32_t>(value);
}
constexpr std::uint32_t high(std::uint64_t value) {
    return static_cast<std::uint32_t>(value >> 32);
}

[[noreturn]] void throw_failed(const PortAccess& access, const ata::TaskFile& task, std::string cause) {
    throw outboard::Error({.kind = ErrorKind::io,
                           .action = "use",
                           .subject = access.name,
                           .cause = fmt::format("{} failed: {}", ata::describe(task), cause),
                           .remedy = {}});
}

/// False when it did not become true in time.
template <class Predicate>
Task<bool> becomes_true(RunLoop& loop, Predicate predicate, Duration limit) {
    try {
        Task<void> waiting = wait_until(loop, predicate, limit, poll_interval, "it");
        co_await std::move(waiting);
    } catch (const outboard::Error& error) {
        if (error.kind() != ErrorKind::timed_out)
            throw;
        co_return false;
    }
    co_return true;
}

}  // namespace

bool link_is_up(const PortRegisters& registers) noexcept {
    const auto status = registers.read<LinkStatus>();
    return !all_ones(status) && status[LinkStatus::detection] == LinkStatus::Detection::established;
}

bool busy(Value<TaskFileData> task_file) noexcept {
    return (task_file[TaskFileData::status] & (ata::status_busy | ata::status_data_request)) != 0;
}

void prepare_port(PortAccess access) noexcept {
    const PortRegisters& port = access.registers;
    const std::uint64_t received = access.iova + offsetof(PortMemory, received);
    port.write(Value<CommandListBase>(low(access.iova)));
    port.write(Value<CommandListUpper>(high(access.iova)));
    port.write(Value<FisBase>(low(received)));
    port.write(Value<FisUpper>(high(received)));
    port.modify<PortCommand>([](Value<PortCommand> value) {
        if (value[PortCommand::cold_presence])
            value = value.with(PortCommand::power_on);
        // Where spin-up is not staggered the bit reads as one anyway.
        return value.with(PortCommand::link, PortCommand::Link::active)
            .with(PortCommand::spin_up)
            .with(PortCommand::fis_enable);
    });
}

Task<bool> stop_commands(PortAccess access) {
    const PortRegisters& port = access.registers;
    port.modify<PortCommand>([](Value<PortCommand> value) { return value.with(PortCommand::start, false); });
    const auto stopped = [&port] {
        const auto command = port.read<PortCommand>();
        return all_ones(command) || !command[PortCommand::list_running];
    };
    Task<bool> waiting = becomes_true(access.loop, stopped, stop_limit);
    co_return co_await std::move(waiting);
}

Task<bool> stop_port(PortAccess access) {
    Task<bool> stopping = stop_commands(access);
    const bool stopped = co_await std::move(stopping);
    if (!stopped)
        co_return false;
    const PortRegisters& port = access.registers;
    port.modify<PortCommand>(
        [](Value<PortCommand> value) { return value.with(PortCommand::fis_enable, false); });
    const auto quiet = [&port] {
        const auto command = port.read<PortCommand>();
        return all_ones(command) || !command[PortCommand::fis_running];
    };
    Task<bool> waiting = becomes_true(access.loop, quiet, stop_limit);
    co_return co_await std::move(waiting);
}

void start_commands(PortAccess access) noexcept {
    access.registers.modify<PortCommand>([](Value<PortCommand> value) {
        return value.with(PortCommand::fis_enable).with(PortCommand::start);
    });
}

Task<bool> wait_for_link(PortAccess access, Duration limit) {
    const PortRegisters& port = access.registers;
    Task<bool> waiting = becomes_true(access.loop, [&port] { return link_is_up(port); }, limit);
    co_return co_await std::move(waiting);
}

Task<bool> reset_link(PortAccess access) {
    Task<bool> stopping = stop_commands(access);
    const bool stopped = co_await std::move(stopping);
    if (!stopped)
        throw outboard::Error({.kind = ErrorKind::io,
                               .action = "reset the disk at",
                               .subject = access.name,
                               .cause = "the command engine does not stop",
                               .remedy = {}});
    const auto act = [&](LinkControl::Action action) {
        access.registers.modify<LinkControl>(
            [action](Value<LinkControl> value) { return value.with(LinkControl::action, action); });
    };
    act(LinkControl::Action::reset);
    co_await access.loop.sleep_for(reset_time);
    act(LinkControl::Action::none);
    Task<bool> waiting = wait_for_link(access, std::min(link_limit, access.limits.ready));
    const bool up = co_await std::move(waiting);
    clear_errors(access);
    co_return up;
}

Task<void> wait_until_ready(PortAccess access) {
    const PortRegisters& port = access.registers;
    const auto ready = [&port] {
        const auto task_file = port.read<TaskFileData>();
        return all_ones(task_file) || !busy(task_file);
    };
    const std::string what = fmt::format("readiness of the disk at {}", access.name);
    Task<void> waiting = wait_until(access.loop, ready, access.limits.ready, poll_interval, what);
    co_await std::move(waiting);
}

void clear_errors(PortAccess access) noexcept {
    access.registers.write(Value<LinkError>(0xffffffff));
    access.registers.write(Value<PortInterrupts>(0xffffffff));
}

Task<void> run_command(PortAccess access, ata::TaskFile task) {
    PortMemory& memory = access.memory;
    const PortRegisters& port = access.registers;
    const bool data = task.protocol == ata::Protocol::pio_in;
    CommandTable& table = memory.tables[setup_slot];
    table.fis = make_fis(task);
    table.descriptors[0] = {.address = access.iova + offsetof(PortMemory, page),
                            .reserved = 0U,
                            .size = static_cast<std::uint32_t>(sizeof memory.page - 1)};
    memory.headers[setup_slot] = make_header(task, data ? 1 : 0, access.iova + offsetof(PortMemory, tables));
    // The command is in memory before the HBA may fetch it.
    std::atomic_thread_fence(std::memory_order_release);
    port.write(Value<PortIssue>(1U << setup_slot));
    const auto ended = [&port] {
        return (port.read<PortIssue>().raw() & 1U << setup_slot) == 0 ||
               (port.read<PortInterrupts>().raw() & error_interrupts) != 0;
    };
    const std::string what = fmt::format("{} at {}", ata::describe(task), access.name);
    Task<void> waiting = wait_until(access.loop, ended, access.limits.command, command_poll_interval, what);
    co_await std::move(waiting);
    std::atomic_thread_fence(std::memory_order_acquire);

    const auto interrupts = port.read<PortInterrupts>();
    const auto task_file = port.read<TaskFileData>();
    if (all_ones(interrupts))
        throw_failed(access, task, "the registers read as all ones");
    const std::uint8_t status = task_file[TaskFileData::status];
    if ((status & ata::status_error) != 0)
        throw_failed(access, task, ata::describe_error(task_file[TaskFileData::error]));
    if ((interrupts.raw() & error_interrupts) != 0 || (status & ata::status_device_fault) != 0)
        throw_failed(access, task,
                     fmt::format("interrupt status {:#010x}, status {:#04x}", interrupts.raw(), status));
}

Task<ata::DiskIdentity> identify_disk(PortAccess access) {
    Task<void> running = run_command(access, ata::identify());
    co_await std::move(running);
    std::array<std::uint16_t, 256> words{};
    std::ranges::copy(access.memory.page, words.begin());
    auto identity = ata::parse_identify(words);
    if (!identity)
        throw outboard::Error({.kind = ErrorKind::unsupported,
                               .action = "use",
                               .subject = fmt::format("the disk at {}", access.name),
                               .cause = std::string(identity.error()),
                               .remedy = {}});
    if (!identity->dma)
        throw outboard::Error({.kind = ErrorKind::unsupported,
                               .action = "use",
                               .subject = fmt::format("the disk at {}", access.name),
                               .cause = "it has no DMA",
                               .remedy = {}});
    co_return std::move(*identity);
}

Task<std::optional<QueuedError>> read_queued_error(PortAccess access) {
    Task<void> running = run_command(access, ata::read_log(ata::queued_error_log));
    co_await std::move(running);
    std::array<std::uint8_t, 512> page{};
    for (std::size_t i = 0; i < page.size(); ++i)
        page[i] = static_cast<std::uint8_t>(access.memory.page[i / 2] >> (8 * (i % 2)));
    const unsigned sum = std::accumulate(page.begin(), page.end(), 0U);
    if (sum % 256 != 0 || (page[0] & not_queued) != 0)
        co_return std::nullopt;
    co_return QueuedError{.tag = page[0] & 0x1fU, .status = page[2], .error = page[3]};
}

}  // namespace outboard::ahci
