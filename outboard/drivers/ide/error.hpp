// What a failed command means: status and error bits (ATA/ATAPI-6, 7.8 and 7.14) and those of the bus master
// (Bus Master IDE 1.0, 3.3) as a BlockStatus and as words. Pure.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/drivers/ide/ata.hpp"
#include "outboard/drivers/ide/registers.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace outboard::ide {

/// What was read when a command ended. `error` and `lba` count only while status has its error bit set.
struct Ending {
    Value<Status> status{};
    Value<ErrorRegister> error{};
    Value<BusMasterStatus> bus_master{};
    std::optional<std::uint64_t> lba{};  ///< what the task file says of where it failed
};

/// True when the command has done what it was told.
bool succeeded(const Ending& ending) noexcept;

/// Nothing answers: a bus without the device reads as all ones.
constexpr bool all_ones(Value<Status> status) noexcept {
    return status.raw() == 0xff;
}

/// What the caller of a failed request is told.
BlockStatus block_status(const Ending& ending) noexcept;

/// True when the same command may succeed if it is sent again: the cable, the bus or the device's patience
/// failed, not the medium.
bool worth_retrying(const Ending& ending) noexcept;

/// True when the device is left in the middle of the command, so that only a reset makes it usable.
bool needs_reset(const Ending& ending) noexcept;

/// "READ DMA of 8 sectors at LBA 2048 failed: uncorrectable data (UNC) at LBA 2051; status 0x51, error 0x40".
std::string describe(const TaskFile& task, const Ending& ending);

using ata::describe;

}  // namespace outboard::ide
