// The slow side of a channel: reset, finding devices, asking and configuring them. Coroutines with deadlines;
// they have the channel to themselves while they run. They throw outboard::Error naming command and device.
#pragma once

#include "outboard/drivers/ide/ata.hpp"
#include "outboard/drivers/ide/channel.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <string>

namespace outboard::ide {

/// How long things may take.
struct Limits {
    /// One command. ATA states none for most commands; 30 s covers a disk that has to spin up first.
    Duration command = std::chrono::seconds(30);
    /// From the end of software reset until a device is no longer busy (ATA/ATAPI-7 volume 2, 11.3).
    Duration reset = std::chrono::seconds(31);
};

/// A channel as these functions use it. `name` is what messages call it: "0000:00:04.0, primary channel".
struct ChannelAccess {
    Channel& channel;
    RunLoop& loop;
    const Limits& limits;
    const std::string& name;
};

/// What to do to a device before it is used.
struct DeviceSettings {
    std::optional<TransferMode> transfer_mode;  ///< nothing: it stays as it is
    std::optional<bool> write_cache;            ///< nothing: as it is
    bool read_look_ahead = false;               ///< true: switched on
};

/// "master of 0000:00:04.0, primary channel".
std::string unit_name(const ChannelAccess& access, unsigned unit);

/// Stops the bus master, resets both devices by SRST, and waits until the channel is not busy. True when
/// something answers.
Task<bool> reset_channel(ChannelAccess access);

/// Of device 0 and device 1.
using Signatures = std::array<Signature, 2>;

/// Looks for both devices by their signatures, waiting while they are busy. Right after a reset and before
/// anything else: both devices take what is written to the command block of either, so the first command
/// spoils both.
Task<Signatures> find_devices(ChannelAccess access);

/// IDENTIFY DEVICE. Throws Error when the command fails, or what it tells is not a disk that can be driven.
Task<DiskIdentity> identify_device(ChannelAccess access, unsigned unit);

/// SET FEATURES as the settings want it. A transfer mode or write cache that is refused is an Error; a
/// refused read look-ahead is not.
Task<void> configure_device(ChannelAccess access, unsigned unit, DeviceSettings settings);

/// One command without data, from issue to end. Throws Error when it does not succeed.
Task<void> run_command(ChannelAccess access, unsigned unit, TaskFile task);

}  // namespace outboard::ide
