#include "outboard/drivers/ide/channel.hpp"

#include <atomic>
#include <cstring>

namespace outboard::ide {

namespace {

constexpr std::uint8_t obsolete_ones = 0xa0;

template <class R>
Value<R> byte_of(std::uint64_t value, unsigned index) {
    return Value<R>(static_cast<std::uint8_t>(value >> (8 * index)));
}

constexpr Value<BusMasterStatus> clear_both(Value<BusMasterStatus> seen) {
    const unsigned kept = seen.raw() & BusMasterStatus::kept;
    return Value<BusMasterStatus>(static_cast<std::uint8_t>(kept | BusMasterStatus::write_one_to_clear));
}

}  // namespace

bool Channel::failed() const noexcept {
    return windows_.command.failed() || windows_.control.failed() ||
           (has_bus_master() && bus_master().failed());
}

bool Channel::select(unsigned unit) noexcept {
    const auto bits = Value<DeviceSelect>(obsolete_ones).with(DeviceSelect::device1, unit == 1).raw();
    if (selected_ && device_bits_ == bits)
        return true;
    // Neither the device that is left nor the one that is chosen may be busy or in a transfer (ATA/ATAPI-7
    // volume 2, 11.2: device selection). The second look comes more than 400 ns after the write: a call to
    // the backend.
    if (const auto status = peek(); status[Status::busy] || status[Status::data_request])
        return false;
    const auto status = select_blindly(unit);
    return !status[Status::busy] && !status[Status::data_request];
}

Value<Status> Channel::select_blindly(unsigned unit) noexcept {
    device_bits_ = Value<DeviceSelect>(obsolete_ones).with(DeviceSelect::device1, unit == 1).raw();
    selected_ = true;
    windows_.command.write(Value<DeviceSelect>(device_bits_));
    peek();  // 400 ns for the device to drive its status: an access takes at least 120 ns, a discarded one
             // and more
    peek();
    peek();
    return peek();
}

void Channel::issue(const TaskFile& task) noexcept {
    const auto& block = windows_.command;
    extended_ = task.extended;
    std::uint8_t device = task.device | device_bits_;
    if (task.extended) {
        if (task.uses_features)
            block.write(Value<Features>(0));
        block.write_run(byte_of<SectorCount>(task.count, 1), byte_of<LbaLow>(task.lba, 3),
                        byte_of<LbaMid>(task.lba, 4), byte_of<LbaHigh>(task.lba, 5));
    } else {
        device |= static_cast<std::uint8_t>(task.lba >> 24 & 0x0f);
    }
    if (task.uses_features)
        block.write(byte_of<Features>(task.features, 0));
    block.write_run(byte_of<SectorCount>(task.count, 0), byte_of<LbaLow>(task.lba, 0),
                    byte_of<LbaMid>(task.lba, 1), byte_of<LbaHigh>(task.lba, 2), Value<DeviceSelect>(device),
                    Value<Command>(static_cast<std::uint8_t>(task.opcode)));
}

void Channel::issue_dma(const TaskFile& task, std::uint32_t prd_table) noexcept {
    const auto& block = bus_master();
    const auto direction =
        Value<BusMasterCommand>().with(BusMasterCommand::to_memory, task.protocol == Protocol::dma_in);
    if (!bus_master_known_) {
        bus_master_status_ = block.read<BusMasterStatus>();
        block.write(clear_both(bus_master_status_));
    }
    // Bus Master IDE 1.0, 3.1: table, direction, cleared status; then the command; then start.
    block.write(Value<PrdTablePointer>(prd_table));
    if (!bus_master_known_ || bus_master_command_ != direction)
        block.write(direction);
    issue(task);
    // The table and the data to be written are in memory before the controller may fetch them.
    std::atomic_thread_fence(std::memory_order_release);
    bus_master_command_ = direction.with(BusMasterCommand::start);
    block.write(bus_master_command_);
    bus_master_known_ = false;
}

bool Channel::dma_ended() noexcept {
    bus_master_status_ = bus_master().read<BusMasterStatus>();
    return bus_master_status_[BusMasterStatus::interrupt] || bus_master_status_[BusMasterStatus::error];
}

Ending Channel::end_dma() noexcept {
    const auto& block = bus_master();
    // An interrupt before the last byte: looked at again, as the two bits may change one after the other.
    if (dma_active())
        bus_master_status_ = block.read<BusMasterStatus>();
    Ending ending;
    ending.bus_master = bus_master_status_;
    stop_dma();
    ending.status = windows_.command.read<Status>();
    // The status read has taken the device's interrupt away, so the bit cannot rise again for this command.
    block.write(clear_both(bus_master_status_));
    bus_master_known_ = true;
    // What the device wrote is looked at only after its end was seen.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!succeeded(ending))
        read_reason(ending);
    return ending;
}

Value<Status> Channel::peek() const noexcept {
    return Value<Status>(windows_.control.read<AlternateStatus>().raw());
}

Ending Channel::end() noexcept {
    Ending ending;
    ending.status = windows_.command.read<Status>();
    bus_master_known_ = false;
    if (!succeeded(ending))
        read_reason(ending);
    return ending;
}

void Channel::read_reason(Ending& ending) const noexcept {
    if (all_ones(ending.status) || ending.status[Status::busy] || !ending.status[Status::error])
        return;
    const auto& block = windows_.command;
    ending.error = block.read<ErrorRegister>();
    std::uint64_t lba = block.read<LbaLow>().raw();
    lba |= std::uint64_t{block.read<LbaMid>().raw()} << 8;
    lba |= std::uint64_t{block.read<LbaHigh>().raw()} << 16;
    if (extended_) {
        windows_.control.write(Value<DeviceControl>().with(DeviceControl::high_order_byte));
        lba |= std::uint64_t{block.read<LbaLow>().raw()} << 24;
        lba |= std::uint64_t{block.read<LbaMid>().raw()} << 32;
        lba |= std::uint64_t{block.read<LbaHigh>().raw()} << 40;
        windows_.control.write(Value<DeviceControl>());
    } else {
        lba |= std::uint64_t{block.read<DeviceSelect>().raw() & 0x0fU} << 24;
    }
    ending.lba = lba;
}

bool Channel::interrupt_risen() noexcept {
    const auto status = bus_master().read<BusMasterStatus>();
    return status.raw() != 0xff && status[BusMasterStatus::interrupt];
}

void Channel::acknowledge() noexcept {
    windows_.command.read<Status>();
    bus_master().write(clear_both(bus_master().read<BusMasterStatus>()));
}

void Channel::read_data(std::span<std::byte> block) noexcept {
    const auto move = [&]<class R>(R) {
        for (std::size_t i = 0; i < block.size(); i += sizeof(typename R::Raw)) {
            const auto word = windows_.command.read<R>().raw();
            std::memcpy(&block[i], &word, sizeof word);
        }
    };
    windows_.wide_data&& block.size() % 4 == 0 ? move(WideData{}) : move(Data{});
}

void Channel::write_data(std::span<const std::byte> block) noexcept {
    const auto move = [&]<class R>(R) {
        for (std::size_t i = 0; i < block.size(); i += sizeof(typename R::Raw)) {
            typename R::Raw word{};
            std::memcpy(&word, &block[i], sizeof word);
            windows_.command.write(Value<R>(word));
        }
    };
    windows_.wide_data&& block.size() % 4 == 0 ? move(WideData{}) : move(Data{});
}

void Channel::stop_dma() noexcept {
    if (!has_bus_master())
        return;
    bus_master_command_ = bus_master_command_.with(BusMasterCommand::start, false);
    bus_master().write(bus_master_command_);
}

void Channel::software_reset(bool on) noexcept {
    windows_.control.write(Value<DeviceControl>().with(DeviceControl::software_reset, on));
    selected_ = false;
    bus_master_known_ = false;
}

Signature Channel::signature() const noexcept {
    const auto& block = windows_.command;
    const unsigned count = block.read<SectorCount>().raw();
    const unsigned low = block.read<LbaLow>().raw();
    const unsigned mid = block.read<LbaMid>().raw();
    const unsigned high = block.read<LbaHigh>().raw();
    if (count != 1 || low != 1)
        return Signature::none;
    if ((mid == 0x00 && high == 0x00) || (mid == 0x3c && high == 0xc3))
        return Signature::ata;
    if ((mid == 0x14 && high == 0xeb) || (mid == 0x69 && high == 0x96))
        return Signature::packet;
    return Signature::unknown;
}

bool Channel::registers_respond() const noexcept {
    const auto& block = windows_.command;
    block.write(Value<SectorCount>(0x55));
    block.write(Value<LbaLow>(0xaa));
    block.write(Value<SectorCount>(0xaa));
    block.write(Value<LbaLow>(0x55));
    return block.read<SectorCount>().raw() == 0xaa && block.read<LbaLow>().raw() == 0x55;
}

}  // namespace outboard::ide
