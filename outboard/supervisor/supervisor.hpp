// outboardd: devices and their hosts, watched by one process.
#pragma once

#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/export/ublk/control.hpp"
#include "outboard/host/stop_signals.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"
#include "outboard/supervisor/configuration.hpp"
#include "outboard/supervisor/control_protocol.hpp"
#include "outboard/supervisor/control_server.hpp"
#include "outboard/supervisor/descriptor_keeper.hpp"
#include "outboard/supervisor/device_events.hpp"
#include "outboard/supervisor/managed_device.hpp"
#include "outboard/supervisor/service_manager.hpp"

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace outboard {

struct SupervisorOptions {
    Configuration configuration;
    std::filesystem::path socket = control_socket_path;
    std::string group = "outboard";      ///< who may ask, besides root
    std::filesystem::path host_program;  ///< outboard-host
    std::filesystem::path own_program;   ///< outboardd, which is also the keeper of descriptors
    ServiceManager* service = nullptr;   ///< that which has started this process; it outlives the supervisor
    /// A stop signal ends this process and nothing else: the next one goes on.
    bool leave_running = false;
};

/// Used on one loop, and goes before it.
class Supervisor {
  public:
    /// Listens; starts nothing yet. Throws Error.
    Supervisor(RunLoop& loop, SupervisorOptions options);
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;
    Supervisor(Supervisor&&) = delete;
    Supervisor& operator=(Supervisor&&) = delete;
    ~Supervisor() = default;

    /// Starts the devices of the configuration, and serves until a stop signal comes; then stops them all,
    /// as soon as nobody uses their disks, at the latest with a second signal.
    Task<void> run(StopSignals& signals);

    /// Does what somebody asks for. Throws Error.
    Task<nlohmann::json> obey(Request request);

  private:
    struct Entry {
        std::unique_ptr<ManagedDevice> device;
        std::deque<std::string> lines;  ///< the last that were logged
    };

    Entry& add(DeviceSettings settings);
    Entry& find(const std::string& name);
    void go_on();
    void follow();
    void log(Entry& entry, const std::string& device, std::string_view line);
    Task<void> stop_all(StopSignals& signals);
    Task<void> follow_devices();
    Task<void> follow_faults();
    void look_around();
    Task<void> announce();
    Task<void> feed_watchdog();
    void tell_status();
    ManagedDevice* at(const PciAddress& address);

    RunLoop* loop_;
    SupervisorOptions options_;
    std::optional<ublk::Control> control_;
    std::unique_ptr<DescriptorKeeper> keeper_;
    std::map<std::string, Entry> devices_;
    std::optional<DeviceEvents> events_;
    std::optional<IommuFaultWatch> faults_;
    Task<void> following_devices_;
    Task<void> following_faults_;
    Task<void> announcing_;
    Task<void> watchdog_;
    std::string said_;  ///< the last status
    ControlServer server_;
};

}  // namespace outboard
