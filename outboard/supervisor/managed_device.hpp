// One device under supervision: held here, driven by one host after the other.
#pragma once

#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/export/ublk/control.hpp"
#include "outboard/export/ublk/served_device.hpp"
#include "outboard/host/protocol/messages.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"
#include "outboard/supervisor/descriptor_keeper.hpp"
#include "outboard/supervisor/device_settings.hpp"
#include "outboard/supervisor/held_device.hpp"
#include "outboard/supervisor/host_process.hpp"
#include "outboard/supervisor/kept_state.hpp"
#include "outboard/supervisor/restart_policy.hpp"

#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outboard {

enum class ManagedState : std::uint8_t {
    starting,     ///< its first host is on the way
    running,      ///< served
    recovering,   ///< its host has died, users wait for the next one
    stopping,     ///< on somebody's order
    stopped,      ///< likewise, or because the kernel wanted it; the device is given back
    failed,       ///< given up: users saw errors
    removed,      ///< not in the machine: it is started when it is plugged in
    quarantined,  ///< its IOMMU blocked it: nobody drives it, and nobody gets it
};

const char* to_string(ManagedState state) noexcept;

/// What can be told of a device at any time.
struct DeviceStatus {
    std::string device;
    std::string driver;
    ManagedState state = ManagedState::starting;
    int host_pid = 0;  ///< 0: none at work
    std::vector<std::string> exports;
    unsigned restarts = 0;     ///< since it was started
    std::string last_failure;  ///< empty: none yet
    /// Of the last recovery: from the end of the old host to the new one's service, and how much of that the
    /// device itself took to be reset and started.
    std::uint64_t recovery_us = 0;
    std::uint64_t device_start_us = 0;
};

/// Used on one loop, and goes before it. What happens to one device is no matter for others.
class ManagedDevice {
  public:
    struct Environment {
        RunLoop& loop;
        /// The control channel of block devices, made when it is first needed.
        std::function<ublk::Control&()> control;
        std::filesystem::path host_program;
        std::function<void(std::string_view)> log;  ///< takes a line about the device
        DescriptorKeeper* keeper = nullptr;         ///< holds what the next supervisor needs; none: nobody
    };

    ManagedDevice(Environment environment, DeviceSettings settings);
    ManagedDevice(const ManagedDevice&) = delete;
    ManagedDevice& operator=(const ManagedDevice&) = delete;
    ManagedDevice(ManagedDevice&&) = delete;
    ManagedDevice& operator=(ManagedDevice&&) = delete;
    ~ManagedDevice() = default;

    const DeviceSettings& settings() const noexcept { return settings_; }
    DeviceStatus status() const;

    /// Begins, unless it has begun; with `kept`, goes on where another supervisor has left off. A device that
    /// is not in the machine is waited for. Returns at once.
    void start(std::optional<KeptEntry> kept = std::nullopt);
    /// Waits until it runs. Throws what made it fail.
    Task<void> running();
    /// The kernel tells that the device has come into the machine: it begins if it was waited for.
    void plugged();
    /// The kernel tells that it has left; it was given back before.
    void unplugged();
    /// The IOMMU has blocked the device: its host is killed, its disks go, it stays where it is.
    void quarantine(const IommuFault& fault);
    /// Stops it: waits for what the page cache holds, takes the disks away and gives the device back. Throws
    /// Error (busy) that names who uses the disks, unless `force`; and for a device in quarantine.
    Task<void> stop(bool force);
    /// Lets another host take over from the one at work, whatever that does just now: users see a pause. With
    /// a `driver`, that drives the device from then on; when it fails before it serves, the one before goes
    /// on.
    void replace_host(const std::string& driver);

  private:
    struct Export {
        unsigned disk;
        ublk::DeviceInfo info;
        bool stable_writes = false;
    };

    Task<void> live(std::optional<KeptEntry> kept);
    Task<void> open_device();
    Task<void> back_off(Duration delay);
    void reset_device();
    void adopt(KeptEntry kept);
    Task<void> find_left_behind();
    void keep(const HostProcess& host);
    void keep_quarantine();
    void put(KeptState state, std::vector<int> descriptors);
    void forget();
    Task<void> hold();
    Task<std::string> attend();
    Task<void> see_off(HostProcess& host, bool leaves);
    Task<void> watch(HostProcess& host, Task<void>& conversation);
    Task<void> keep_pulse(HostProcess& host);
    Task<void> converse(HostProcess& host);
    Task<void> go_on(HostProcess& host);
    Task<void> begin_service(HostProcess& host, bool recovering);
    void send_arena(HostProcess& host);
    Task<void> hand_over_disks(HostProcess& host);
    Task<void> make_disks(HostProcess& host, const hosting::Disks& disks);
    Task<void> check_disks(const hosting::Disks& disks);
    void send_disk(HostProcess& host, const Export& one, bool stable_writes);
    template <class Message>
    Task<Message> next(HostProcess& host);
    Task<void> serve_until_stopped(HostProcess& host);
    Task<void> take_disks_away();
    Task<void> end(std::string failure);
    Task<void> isolate();
    void follow_notices();
    Task<void> watch_release();
    Task<void> watch_errors();
    void give_back();
    Task<void> kill_after(Duration limit);
    [[noreturn]] void throw_disobedient(std::string cause) const;
    std::unique_ptr<HostProcess> make_host();
    void prepare_spare();
    bool hear(const Packet& packet);
    void set_state(ManagedState state);
    void log(std::string_view line) const { environment_.log(line); }

    Environment environment_;
    DeviceSettings settings_;
    RestartPolicy policy_;
    ManagedState state_ = ManagedState::stopped;
    std::string driver_;
    unsigned restarts_ = 0;
    std::string last_failure_;
    std::exception_ptr failure_;  ///< with which it was given up
    std::unique_ptr<HeldDevice> held_;
    std::vector<Export> exports_;
    bool exports_live_ = false;  ///< they were started: users may wait for them
    bool stop_wanted_ = false;
    bool taken_away_ = false;  ///< the kernel wants the device, or has it
    bool quarantined_ = false;
    bool just_plugged_ = false;  ///< others look at it for a moment
    bool device_error_ = false;  ///< the host at work was killed because the device reported one
    bool reset_wanted_ = false;  ///< before the next host
    bool finished_ = false;      ///< the last host came to an orderly end
    bool said_why_ = false;      ///< the host at work has told what ends it
    bool hung_ = false;          ///< the host at work was killed because it did not answer
    std::optional<std::string> driver_before_;  ///< while another one tries
    std::string replacing_;                     ///< why the host at work was ended on purpose
    std::uint64_t last_pong_ = 0;
    TimePoint host_ended_{};
    TimePoint serving_since_{};
    std::uint64_t recovery_us_ = 0;
    std::uint64_t device_start_us_ = 0;
    std::unique_ptr<HostProcess> host_;
    std::unique_ptr<HostProcess> spare_;
    std::unique_ptr<HostProcess> adopted_;  ///< another supervisor's, at work
    Task<void> release_watch_;
    Task<void> error_watch_;
    Task<void> release_limit_;
    Task<void> life_;
};

}  // namespace outboard
