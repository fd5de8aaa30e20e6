// Where the suite of the NVMe driver runs: the same tests pass on QEMU's controller in the lab and on the
// simulated one in many configurations. Each program that links them says how to reach its controller.
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/device/device.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace outboard::test {

/// A controller, for as long as this object lives. Its first namespace has at least 256 MiB.
class NvmePlace {
  public:
    NvmePlace() = default;
    NvmePlace(const NvmePlace&) = delete;
    NvmePlace& operator=(const NvmePlace&) = delete;
    NvmePlace(NvmePlace&&) = delete;
    NvmePlace& operator=(NvmePlace&&) = delete;
    virtual ~NvmePlace() = default;

    virtual std::unique_ptr<Device> open() = 0;
    /// What is to be said to the driver there.
    virtual DriverOptions options() const { return {}; }
    /// Asked once, when the driver has gone: what it, or its controller, did meanwhile that must not happen;
    /// empty when there is nothing.
    virtual std::string complaints() = 0;
    /// How long a load runs at least.
    virtual std::chrono::milliseconds load_time() const = 0;
};

std::unique_ptr<NvmePlace> make_nvme_place();

}  // namespace outboard::test
