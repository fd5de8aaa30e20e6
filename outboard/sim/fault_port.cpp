#include "outboard/sim/fault_port.hpp"

#include "outboard/base/bytes.hpp"

#include <cstring>

namespace outboard::sim {

void FaultPort::offer(std::span<const FaultKind> kinds) noexcept {
    for (const FaultKind kind : kinds)
        possible_ |= 1U << static_cast<unsigned>(kind);
}

void FaultPort::read(std::uint64_t offset, std::span<std::byte> data) const noexcept {
    FaultPortLayout now{
        .signature = fault_port_signature, .possible = possible_, .take_back = taken_back_ ? 1U : 0U};
    for (std::size_t i = 0; i < fault_kinds; ++i)
        now.struck[i] = faults_.struck(static_cast<FaultKind>(i));
    std::memcpy(data.data(), bytes_of(now).data() + offset, data.size());
}

bool FaultPort::write(std::uint64_t offset, std::span<const std::byte> data) noexcept {
    std::uint32_t number = 0;
    if (data.size() != sizeof number)
        return false;
    std::memcpy(&number, data.data(), sizeof number);
    if (number >= fault_kinds || (possible_ >> number & 1) == 0)
        return false;
    const auto kind = static_cast<FaultKind>(number);
    if (offset == offsetof(FaultPortLayout, order))
        faults_.order(kind);
    else if (offset == offsetof(FaultPortLayout, take_back))
        taken_back_ = faults_.take_back(kind);
    else
        return false;
    return true;
}

}  // namespace outboard::sim
