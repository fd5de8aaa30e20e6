#include "outboard/drivers/ide/bring_up.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"

#include <array>
#include <bit>
#include <cstddef>

#include <fmt/format.h>

namespace outboard::ide {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration poll_interval = milliseconds(1);

[[noreturn]] void throw_failed(const ChannelAccess& access, unsigned unit, const TaskFile& task,
                               const Ending& ending) {
    throw outboard::Error({.kind = ErrorKind::io,
                           .action = "use",
                           .subject = unit_name(access, unit),
                           .cause = describe(task, ending),
                           .remedy = {}});
}

void select_or_throw(const ChannelAccess& access, unsigned unit, const TaskFile& task) {
    if (access.channel.select(unit))
        return;
    Ending ending;
    ending.status = access.channel.peek();
    throw_failed(access, unit, task, ending);
}

/// Until the selected device is not busy; a device that is gone is not busy either.
Task<void> wait_while_busy(ChannelAccess access, Duration limit, std::string what) {
    const Channel& channel = access.channel;
    const auto ready = [&channel] {
        const auto status = channel.peek();
        return all_ones(status) || !status[Status::busy];
    };
    co_await wait_until(access.loop, ready, limit, poll_interval, what);
}

}  // namespace

std::string unit_name(const ChannelAccess& access, unsigned unit) {
    return fmt::format("{} of {}", unit == 0 ? "master" : "slave", access.name);
}

Task<bool> reset_channel(ChannelAccess access) {
    // ATA/ATAPI-7 volume 2, 11.3: SRST stays set for at least 5 us; the first look is at least 2 ms after it
    // is cleared.
    access.channel.stop_dma();
    access.channel.software_reset(true);
    co_await access.loop.sleep_for(microseconds(5));
    access.channel.software_reset(false);
    co_await access.loop.sleep_for(milliseconds(2));
    std::string what = "end of software reset on " + access.name;
    co_await wait_while_busy(access, access.limits.reset, std::move(what));
    co_return !all_ones(access.channel.peek());
}

namespace {

Task<Signature> find_device(ChannelAccess access, unsigned unit) {
    if (all_ones(access.channel.select_blindly(unit)))
        co_return Signature::none;
    std::string what = "end of software reset on " + unit_name(access, unit);
    co_await wait_while_busy(access, access.limits.reset, std::move(what));
    // A device 0 that answers for a missing device 1 shows it a status of zero.
    if (const auto status = access.channel.peek(); all_ones(status) || status.raw() == 0)
        co_return Signature::none;
    co_return access.channel.signature();
}

}  // namespace

Task<Signatures> find_devices(ChannelAccess access) {
    Signatures signatures{};
    for (unsigned unit = 0; unit < signatures.size(); ++unit)
        signatures[unit] = co_await find_device(access, unit);
    co_return signatures;
}

Task<void> run_command(ChannelAccess access, unsigned unit, TaskFile task) {
    select_or_throw(access, unit, task);
    access.channel.issue(task);
    access.channel.peek();  // 400 ns until BSY is valid
    std::string what = fmt::format("{} on {}", describe(task), unit_name(access, unit));
    co_await wait_while_busy(access, access.limits.command, std::move(what));
    const Ending ending = access.channel.end();
    if (!succeeded(ending))
        throw_failed(access, unit, task, ending);
}

Task<DiskIdentity> identify_device(ChannelAccess access, unsigned unit) {
    const TaskFile task = identify();
    select_or_throw(access, unit, task);
    access.channel.issue(task);
    access.channel.peek();  // 400 ns until BSY is valid
    std::string what = fmt::format("{} on {}", describe(task), unit_name(access, unit));
    co_await wait_while_busy(access, access.limits.command, std::move(what));

    Ending ending = access.channel.end();
    if (all_ones(ending.status) || ending.status[Status::error] || !ending.status[Status::data_request])
        throw_failed(access, unit, task, ending);
    std::array<std::byte, Channel::pio_block> data{};
    access.channel.read_data(data);
    ending = access.channel.end();
    if (!succeeded(ending))
        throw_failed(access, unit, task, ending);

    std::array<std::uint16_t, 256> words{};
    for (std::size_t i = 0; i < words.size(); ++i)
        words[i] = static_cast<std::uint16_t>(std::to_integer<unsigned>(data[2 * i]) |
                                              std::to_integer<unsigned>(data[2 * i + 1]) << 8U);
    auto identity = parse_identify(words);
    if (!identity)
        throw outboard::Error({.kind = ErrorKind::unsupported,
                               .action = "use",
                               .subject = unit_name(access, unit),
                               .cause = std::string(identity.error()),
                               .remedy = {}});
    co_return std::move(*identity);
}

Task<void> configure_device(ChannelAccess access, unsigned unit, DeviceSettings settings) {
    if (settings.transfer_mode)
        co_await run_command(access, unit, set_feature(Feature::transfer_mode, settings.transfer_mode->code));
    if (settings.write_cache) {
        const Feature feature = *settings.write_cache ? Feature::write_cache_on : Feature::write_cache_off;
        co_await run_command(access, unit, set_feature(feature));
    }
    if (settings.read_look_ahead) {
        try {
            co_await run_command(access, unit, set_feature(Feature::read_look_ahead_on));
        } catch (const outboard::Error& error) {
            // Look-ahead is a matter of speed alone; a device that aborts the command works without it.
            if (error.kind() != ErrorKind::io)
                throw;
        }
    }
}

}  // namespace outboard::ide
