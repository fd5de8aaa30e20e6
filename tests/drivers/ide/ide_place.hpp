// Where the suites of the IDE driver run: the same ones pass on QEMU's PIIX3 in the lab and on the simulated
// controllers. Each program that links them says how to reach its controller.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/device/device.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace outboard::test {

/// A controller, for as long as this object lives.
///
/// For ide_suite.cpp it has four disks, with the serial numbers ide0 … ide3 in the four places, of at least
/// 1 GiB; ide1 has 200 GiB, and its beginning is zero. For ide_fault_suite.cpp it has two: "bad", the primary
/// master, whose sectors 2048 to 2055 cannot be read, and "slow", the secondary master, which needs 3 s for
/// every read.
class IdePlace {
  public:
    IdePlace() = default;
    IdePlace(const IdePlace&) = delete;
    IdePlace& operator=(const IdePlace&) = delete;
    IdePlace(IdePlace&&) = delete;
    IdePlace& operator=(IdePlace&&) = delete;
    virtual ~IdePlace() = default;

    virtual std::unique_ptr<Device> open() = 0;
    /// Asked once, when the driver has gone: what it, or its controller, did meanwhile that must not happen;
    /// empty when there is nothing.
    virtual std::string complaints() = 0;

    /// How long a load runs at least.
    virtual std::chrono::milliseconds load_time() const = 0;
    /// Most bytes of a request by PIO, where each word is an access of its own.
    virtual std::size_t largest_pio() const = 0;
    /// What the driver is to make of the sectors that cannot be read, and how it says that.
    virtual BlockStatus bad_status() const = 0;
    virtual std::string bad_words() const = 0;
};

std::unique_ptr<IdePlace> make_ide_place();

}  // namespace outboard::test
