// What the configuration says about one device.
#pragma once

#include "outboard/backend/device_name.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/runtime/clock.hpp"
#include "outboard/supervisor/restart_policy.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace outboard {

struct DeviceSettings {
    DeviceName device;
    std::string driver;              ///< its name; empty: whichever knows the device
    std::vector<unsigned> disks{0};  ///< those that become block devices, in the driver's order; may be none
    std::uint16_t queues = 0;        ///< of each disk, as far as it has them; 0: one for each processor
    std::uint16_t queue_depth = 32;
    bool batch = false;
    std::optional<bool> write_cache;
    unsigned timeout_seconds = 0;  ///< of one command; 0: the driver's own
    bool dma = true;
    CompletionMode completion = CompletionMode::adaptive;
    RestartSettings restart;
    Duration hang_limit = std::chrono::seconds(5);  ///< a host that does not answer for that long is killed

    /// Of each disk, with one for each processor where nothing is said.
    std::uint16_t queues_wanted() const {
        return queues != 0 ? queues
                           : static_cast<std::uint16_t>(std::max(1U, std::thread::hardware_concurrency()));
    }
};

}  // namespace outboard
