// Where the tests of edu_suite.cpp run: the same ones pass on QEMU's device in the lab and on the simulated
// one. Each program that links them says how to reach its device.
#pragma once

#include "outboard/device/device.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace outboard::test {

struct DmaFault {
    bool write = false;
    std::uint64_t iova = 0;
};

/// A device that is there as long as this object lives.
class EduPlace {
  public:
    EduPlace() = default;
    EduPlace(const EduPlace&) = delete;
    EduPlace& operator=(const EduPlace&) = delete;
    EduPlace(EduPlace&&) = delete;
    EduPlace& operator=(EduPlace&&) = delete;
    virtual ~EduPlace() = default;

    virtual std::unique_ptr<Device> open() = 0;
    /// How many to raise where many are raised.
    virtual std::uint32_t interrupts() const { return 100'000; }
    /// How often its interrupt has fired, as somebody else counts it.
    virtual std::uint64_t times_fired() = 0;
    /// The device's DMA faults that were not taken yet; waits up to 2 s for the first.
    virtual std::vector<DmaFault> faults_soon() = 0;
};

std::unique_ptr<EduPlace> make_edu_place();

}  // namespace outboard::test
