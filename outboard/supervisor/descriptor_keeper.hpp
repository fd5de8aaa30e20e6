// Descriptors that outlive outboardd, so that the next outboardd goes on where one that was killed has left
// off.
#pragma once

#include "outboard/base/fd.hpp"

#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace outboard {

/// What is kept under one name.
struct KeptEntry {
    std::string name;
    nlohmann::json state;
    std::vector<Fd> descriptors;
};

/// Holds copies of them outside of this process. Each call waits until it is done, at most some seconds, and
/// throws Error. One thread.
class DescriptorKeeper {
  public:
    DescriptorKeeper() = default;
    DescriptorKeeper(const DescriptorKeeper&) = delete;
    DescriptorKeeper& operator=(const DescriptorKeeper&) = delete;
    DescriptorKeeper(DescriptorKeeper&&) = delete;
    DescriptorKeeper& operator=(DescriptorKeeper&&) = delete;
    virtual ~DescriptorKeeper() = default;

    /// Copies of everything that it keeps.
    virtual std::vector<KeptEntry> list() = 0;
    /// Keeps copies of these, and nothing else, under the name: at most PacketSocket::max_descriptors.
    virtual void put(const std::string& name, const nlohmann::json& state,
                     std::span<const int> descriptors) = 0;
    /// On return its copies are closed.
    virtual void remove(const std::string& name) = 0;
    /// Ends it, with everything that it keeps.
    virtual void dismiss() = 0;
};

}  // namespace outboard
