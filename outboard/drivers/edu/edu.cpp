#include "outboard/drivers/edu/edu.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"

#include <atomic>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace outboard::edu {

namespace {

using namespace std::chrono_literals;

// The device states no times of its own. A transfer takes it 100 ms, a factorial next to nothing.
constexpr Duration operation_limit = 2s;
constexpr Duration look_interval = 5ms;

constexpr std::uint32_t factorial_cause = InterruptStatus::factorial.mask<std::uint32_t>();
constexpr std::uint32_t dma_cause = InterruptStatus::dma.mask<std::uint32_t>();

void check_fits(const Device& device, std::size_t offset, std::size_t length) {
    if (length > 0 && offset < buffer_bytes && length <= buffer_bytes - offset)
        return;
    throw Error({.kind = ErrorKind::usage,
                 .action = "copy to or from the buffer of",
                 .subject = device.name(),
                 .cause = fmt::format("{} bytes at offset {} do not lie in its {} bytes", length, offset,
                                      buffer_bytes),
                 .remedy = {}});
}

}  // namespace

Edu::Edu(Device& device, RunLoop& loop, const Registers& registers, Interrupt interrupt)
    : device_(device),
      loop_(loop),
      registers_(registers),
      interrupt_(std::move(interrupt)),
      interrupts_(loop, interrupt_.eventfd()) {}

Task<std::unique_ptr<Edu>> Edu::start(Device& device, RunLoop& loop, InterruptKind kind) {
    const auto registers = device.region(RegionIndex::bar0).block<register_bytes>();

    constexpr std::uint32_t pattern = 0x5a0ff0a5;
    registers.write(Value<Liveness>(pattern));
    const std::uint32_t inverted = registers.read<Liveness>().raw();
    const auto identification = registers.read<Identification>();
    if (identification[Identification::magic] != identification_magic || inverted != ~pattern)
        throw Error({.kind = ErrorKind::io,
                     .action = "start the edu driver on",
                     .subject = device.name(),
                     .cause = fmt::format(
                         "it is no edu device, or it is dead: identification {:#010x}, liveness {:#010x}",
                         identification.raw(), inverted),
                     .remedy = "check with `outboard list` what the device is"});

    // An earlier driver may have been killed with a transfer under way: it must be over before the device may
    // master the bus again. The device cannot be reset.
    const std::string rest = fmt::format("the last transfer of {} end", device.name());
    co_await wait_until(
        loop, [&registers] { return !registers.read<DmaCommand>()[DmaCommand::start]; }, operation_limit,
        look_interval, rest);
    registers.write(Value<InterruptAcknowledge>(registers.read<InterruptStatus>().raw()));

    device.set_bus_master(true);  // for DMA, and for MSI, which is a write to memory
    std::vector<Interrupt> interrupts = device.enable_interrupts(kind, 1);
    co_return std::unique_ptr<Edu>(new Edu(device, loop, registers, std::move(interrupts.front())));
}

// The order of serving an interrupt:
// 1. Read the causes. Those that come later stay in the status and raise the interrupt again.
// 2. Acknowledge exactly these. When none is left the device lets the INTx line fall.
// 3. Read back: a write may still be on its way to the device, a read returns only after it has arrived.
// 4. Unmask: the kernel masked INTx when it fired. A line that is high (because of the later causes) fires at
// once;
//    before 2 and 3 it would be high because of the old ones, and fire for nothing.
std::uint32_t Edu::serve_interrupt() {
    const std::uint32_t causes = registers_.read<InterruptStatus>().raw();
    registers_.write(Value<InterruptAcknowledge>(causes));
    static_cast<void>(registers_.read<InterruptStatus>());
    if (const int error = interrupt_.unmask(); error != 0)
        throw_errno(error, "unmask the interrupt of", device_.name());
    return causes;
}

Task<std::uint32_t> Edu::next_interrupt() {
    const int result = co_await interrupts_.next();
    if (result < 0)
        throw_errno(-result, "wait for the interrupt of", device_.name());
    co_return serve_interrupt();
}

Task<void> Edu::wait_for_cause(std::uint32_t cause) {
    std::uint32_t seen = 0;
    while ((seen & cause) == 0)  // others are raised by hand, or come from what timed out
        seen = co_await next_interrupt();
}

Task<std::uint32_t> Edu::factorial(std::uint32_t n) {
    const std::string idle = fmt::format("the last factorial of {} end", device_.name());
    co_await wait_until(
        loop_, [this] { return !registers_.read<Status>()[Status::computing]; }, operation_limit,
        look_interval, idle);

    registers_.write(Value<Status>().with(Status::interrupt_after_factorial));
    registers_.write(Value<Factorial>(n));
    const std::string what = fmt::format("the factorial of {} on {}", n, device_.name());
    auto end = wait_for_cause(factorial_cause);
    co_await with_deadline(loop_, std::move(end), operation_limit, what);
    co_return registers_.read<Factorial>().raw();
}

Task<void> Edu::copy_to_device(DmaSpan source, std::size_t offset) {
    check_fits(device_, offset, source.length);
    co_await transfer(source.iova, buffer_address + offset, source.length, false);
}

Task<void> Edu::copy_from_device(std::size_t offset, DmaSpan destination) {
    check_fits(device_, offset, destination.length);
    co_await transfer(buffer_address + offset, destination.iova, destination.length, true);
}

Task<void> Edu::transfer(std::uint64_t source, std::uint64_t destination, std::size_t length,
                         bool from_device) {
    registers_.write(Value<DmaSource>(source));
    registers_.write(Value<DmaDestination>(destination));
    registers_.write(Value<DmaCount>(length));
    auto command = Value<DmaCommand>().with(DmaCommand::start).with(DmaCommand::interrupt_after);
    if (from_device)
        command = command.with(DmaCommand::from_device);
    // What the process wrote to the memory comes before the command that lets the device read it.
    std::atomic_thread_fence(std::memory_order_release);
    registers_.write(command);

    const std::string what = fmt::format("a DMA transfer of {} bytes on {}", length, device_.name());
    std::exception_ptr failure;
    try {
        auto end = wait_for_cause(dma_cause);
        co_await with_deadline(loop_, std::move(end), operation_limit, what);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        co_await stop_dma();
        std::rethrow_exception(failure);
    }
    // The memory is read after the interrupt that says it was written.
    std::atomic_thread_fence(std::memory_order_acquire);
}

/// A transfer was given up: sees to it that the device leaves memory alone before its owner gets it back.
Task<void> Edu::stop_dma() {
    const std::string what = fmt::format("the transfer of {} end", device_.name());
    bool ended = true;
    try {
        co_await wait_until(
            loop_, [this] { return !registers_.read<DmaCommand>()[DmaCommand::start]; }, operation_limit,
            look_interval, what);
    } catch (const Error&) {
        ended = false;
    }
    if (!ended)
        device_.set_bus_master(false);  // and with it MSI: the device has to be started again
}

void Edu::raise(std::uint32_t causes) {
    registers_.write(Value<InterruptRaise>(causes));
}

Task<void> Edu::shut_down() {
    co_await stop_dma();
    registers_.write(Value<Status>());
    device_.disable_interrupts(interrupt_.kind());
    device_.set_bus_master(false);
}

// ---- the table of drivers ----

namespace {

Task<std::unique_ptr<Driver>> start_driver(Device& device, RunLoop& loop, DriverOptions) {
    const auto kind =
        device.interrupt_count(InterruptKind::msi) > 0 ? InterruptKind::msi : InterruptKind::intx;
    co_return co_await Edu::start(device, loop, kind);
}

}  // namespace

const DriverDescription description{
    .name = "edu",
    .devices = devices,
    .start = start_driver,
    .dma_address_bits = address_bits,
    .dma_bytes = 0,
};

}  // namespace outboard::edu
