// Registers of QEMU's educational device, in BAR 0 (QEMU: docs/specs/edu). Below offset 0x80 accesses are 4
// bytes wide, from there on 4 or 8.
#pragma once

#include "outboard/base/registers.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::edu {

/// 0x00, identification: 0xRRrr00ed.
struct Identification : Register<Identification, std::uint32_t, 0x00, Access::read_only> {
    static constexpr Field<Identification, 0, 16, std::uint16_t> magic{};  ///< always 0x00ed
    static constexpr Field<Identification, 16, 8, std::uint8_t> minor_version{};
    static constexpr Field<Identification, 24, 8, std::uint8_t> major_version{};
};
inline constexpr std::uint16_t identification_magic = 0x00ed;

/// 0x04, liveness check: reads as the bitwise inversion of what was written.
struct Liveness : Register<Liveness, std::uint32_t, 0x04, Access::read_write> {};

/// 0x08, factorial: writing n starts the computation, its end leaves n! (modulo 2^32) here.
struct Factorial : Register<Factorial, std::uint32_t, 0x08, Access::read_write> {};

/// 0x20, status.
struct Status : Register<Status, std::uint32_t, 0x20, Access::read_write> {
    static constexpr Bit<Status, 0> computing{};  ///< read-only: a factorial is being computed
    static constexpr Bit<Status, 7> interrupt_after_factorial{};
};

/// 0x24, interrupt status: the causes that were raised and not acknowledged.
struct InterruptStatus : Register<InterruptStatus, std::uint32_t, 0x24, Access::read_only> {
    static constexpr Bit<InterruptStatus, 0> factorial{};  ///< a factorial is ready
    static constexpr Bit<InterruptStatus, 8> dma{};        ///< a DMA transfer has ended
};

/// 0x60, interrupt raise: adds the bits written to the interrupt status and raises the interrupt.
struct InterruptRaise : Register<InterruptRaise, std::uint32_t, 0x60, Access::write_only> {};

/// 0x64, interrupt acknowledge: takes the bits written out of the interrupt status; at zero the line falls.
struct InterruptAcknowledge : Register<InterruptAcknowledge, std::uint32_t, 0x64, Access::write_only> {};

/// 0x80, DMA source address: an IOVA, or an address in the device's buffer.
struct DmaSource : Register<DmaSource, std::uint64_t, 0x80, Access::read_write> {};
/// 0x88, DMA destination address.
struct DmaDestination : Register<DmaDestination, std::uint64_t, 0x88, Access::read_write> {};
/// 0x90, DMA transfer count in bytes.
struct DmaCount : Register<DmaCount, std::uint64_t, 0x90, Access::read_write> {};

/// 0x98, DMA command. `start` reads as one until the transfer has ended.
struct DmaCommand : Register<DmaCommand, std::uint64_t, 0x98, Access::read_write> {
    static constexpr Bit<DmaCommand, 0> start{};
    static constexpr Bit<DmaCommand, 1> from_device{};  ///< zero: memory to device
    static constexpr Bit<DmaCommand, 2> interrupt_after{};
};

/// Size of the window that holds all registers.
inline constexpr std::size_t register_bytes = 0xa0;

/// Where the DMA engine finds the device's buffer.
inline constexpr std::uint64_t buffer_address = 0x40000;

/// The buffer has 4096 bytes, but QEMU 7.2 stops the whole machine on a transfer that touches the last one.
inline constexpr std::size_t buffer_bytes = 4095;

/// The DMA engine drives this many address bits unless QEMU's property dma_mask says otherwise.
inline constexpr unsigned address_bits = 28;

}  // namespace outboard::edu
