#include "outboard/host/fault_orders.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/base/error.hpp"
#include "outboard/sim/fault_port.hpp"

namespace outboard {

using sim::FaultKind;
using sim::FaultPortLayout;

FaultOrders::FaultOrders(vfio_user::VfioUserBackend& device) : device_(&device) {
    if (device.region_info(vfio_user::first_region_of_device).size < sizeof(FaultPortLayout) ||
        read<std::uint64_t>(offsetof(FaultPortLayout, signature)) != sim::fault_port_signature)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "order faults of",
                     .subject = device.name(),
                     .cause = "it takes no such orders: it is not served by outboard sim",
                     .remedy = "serve one with outboard sim ide --socket PATH"});
}

template <class T>
T FaultOrders::read(std::uint64_t offset) const {
    T value{};
    if (const int error = device_->read_region(vfio_user::first_region_of_device, offset,
                                               std::as_writable_bytes(std::span(&value, 1)));
        error != 0)
        throw_errno(error, "count the faults of", device_->name());
    return value;
}

void FaultOrders::write(std::uint64_t offset, FaultKind kind) {
    const auto number = static_cast<std::uint32_t>(kind);
    if (const int error = device_->write_region(vfio_user::first_region_of_device, offset, bytes_of(number));
        error != 0)
        throw_errno(error, "order faults of", device_->name());
}

std::vector<FaultKind> FaultOrders::possible() const {
    const auto mask = read<std::uint32_t>(offsetof(FaultPortLayout, possible));
    std::vector<FaultKind> kinds;
    for (unsigned i = 0; i < sim::fault_kinds; ++i)
        if ((mask >> i & 1) != 0)
            kinds.push_back(static_cast<FaultKind>(i));
    return kinds;
}

void FaultOrders::order(FaultKind kind) {
    write(offsetof(FaultPortLayout, order), kind);
}

bool FaultOrders::take_back(FaultKind kind) {
    write(offsetof(FaultPortLayout, take_back), kind);
    return read<std::uint32_t>(offsetof(FaultPortLayout, take_back)) != 0;
}

std::uint64_t FaultOrders::struck(FaultKind kind) const {
    return read<std::uint64_t>(offsetof(FaultPortLayout, struck) +
                               static_cast<std::size_t>(kind) * sizeof(std::uint64_t));
}

}  // namespace outboard
