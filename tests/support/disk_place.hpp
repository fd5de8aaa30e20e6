// Where the suites of the disk drivers run: the same tests pass on a device in the lab and on the simulated
// one. Each program that links a suite says how to reach its device.
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/device/device.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace outboard::test {

/// A device with disks, for as long as this object lives.
class DiskPlace {
  public:
    DiskPlace() = default;
    DiskPlace(const DiskPlace&) = delete;
    DiskPlace& operator=(const DiskPlace&) = delete;
    DiskPlace(DiskPlace&&) = delete;
    DiskPlace& operator=(DiskPlace&&) = delete;
    virtual ~DiskPlace() = default;

    virtual const DriverDescription& driver() const = 0;
    virtual std::unique_ptr<Device> open() = 0;
    /// What is to be said to the driver there.
    virtual DriverOptions options() const { return {}; }
    /// Asked once, when the driver has gone: what it, or its device, did meanwhile that must not happen;
    /// empty when there is nothing.
    virtual std::string complaints() = 0;
    /// How long a load runs at least.
    virtual std::chrono::milliseconds load_time() const = 0;
};

/// For disk_suite.cpp: the first disk has at least 256 MiB, and nobody minds what is written to it.
std::unique_ptr<DiskPlace> make_disk_place();

}  // namespace outboard::test
