// What one supervisor leaves to the next, besides descriptors.
#pragma once

#include "outboard/export/ublk/uapi.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace outboard {

struct KeptDisk {
    unsigned disk = 0;
    ublk::DeviceInfo info{};
    bool stable_writes = false;
};

/// Of one device whose host serves, or that is in quarantine.
struct KeptState {
    std::string driver{};
    std::uint64_t arena_bytes = 0;
    std::uint64_t arena_iova = 0;
    bool bound_here = false;
    std::vector<KeptDisk> disks{};
    int host_pid = 0;
    unsigned restarts = 0;
    std::string quarantine{};  ///< why it is in quarantine; empty: it is not
};

nlohmann::json to_json(const KeptState& state);

/// The reverse. Throws Error for what is no such state.
KeptState kept_state(const nlohmann::json& document);

}  // namespace outboard
