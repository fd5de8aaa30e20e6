// Control of ublk devices: commands on /dev/ublk-control.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/export/ublk/uapi.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace outboard::ublk {

/// Asks `add` to choose the number of the device.
inline constexpr std::uint32_t any_device = 0xffffffff;

/// Path of a device's disk ("/dev/ublkb0") and of the file it is served through ("/dev/ublkc0").
std::string disk_path(std::uint32_t device_id);
std::string server_path(std::uint32_t device_id);

/// Numbers of the devices that the kernel has now, ascending; from sysfs, no rights needed.
std::vector<std::uint32_t> device_ids();

/// The control channel. Used on one loop; its tasks go before it. Every command has a deadline; what goes
/// wrong throws Error that names the device. The loop turns meanwhile: each command has a thread of its own
/// for as long as it takes.
class Control {
  public:
    /// Throws Error: unsupported when the kernel has no ublk or its module is not loaded, not_permitted
    /// without rights.
    explicit Control(RunLoop& loop);

    /// Feature bits of this kernel (6.5 and newer); a kernel that cannot be asked has none that matter here.
    Task<std::uint64_t> features();

    /// Makes a device; returns what the kernel made of `info`, with its number. It has no disk until it is
    /// started.
    Task<DeviceInfo> add(DeviceInfo info);
    Task<void> set_parameters(std::uint32_t device_id, Parameters parameters);
    Task<Parameters> parameters(std::uint32_t device_id);
    /// Nothing when there is no such device (any more), or it is one that an unprivileged user made.
    Task<std::optional<DeviceInfo>> info(std::uint32_t device_id);

    /// Makes the disk appear. All tags have been fetched, and are served meanwhile: the kernel reads the
    /// partition table. `server_pid` is what others are told.
    Task<void> start(std::uint32_t device_id, int server_pid);

    /// Takes the disk away: what is in flight is finished, what comes later fails. It must still be served.
    Task<void> stop(std::uint32_t device_id);

    /// Removes the device; stops it before when that was not done. Its server must have closed it. Where
    /// somebody has the disk open still, its number becomes free with the last user (kernels before 6.6:
    /// waits for that).
    Task<void> remove(std::uint32_t device_id);

    /// Begins to take a device over whose server is gone. Waits until the kernel has noticed that (at most 30
    /// s).
    Task<void> start_recovery(std::uint32_t device_id);
    /// The disk goes on: all tags have been fetched by the new server.
    Task<void> end_recovery(std::uint32_t device_id, int server_pid);

  private:
    /// The command's result: 0 or more, or a negative errno value.
    Task<int> issue(std::uint32_t operation, ControlCommand command);
    /// The same with a deadline; throws Error when the result is negative.
    Task<void> perform(std::uint32_t operation, ControlCommand command, Duration limit, const char* action);

    RunLoop* loop_;
    Fd file_;
};

}  // namespace outboard::ublk
