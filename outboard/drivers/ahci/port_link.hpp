// The slow side of a port: its link, its command engine, and single commands that set up (AHCI 1.3.1, clause
// 10). Coroutines with deadlines; they have the port to themselves while they run, with its interrupts off.
// They throw outboard::Error naming command and port.
#pragma once

#include "outboard/ata/identify.hpp"
#include "outboard/device/region.hpp"
#include "outboard/drivers/ahci/command_memory.hpp"
#include "outboard/drivers/ahci/registers.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace outboard::ahci {

using PortRegisters = RegisterBlock<port_bytes>;

/// How long things may take.
struct Limits {
    /// One command. ATA states none for most commands; 30 s covers a disk that has to spin up first.
    Duration command = std::chrono::seconds(30);
    /// From the end of a reset until the disk is no longer busy; likewise.
    Duration ready = std::chrono::seconds(30);
};

/// A port as these functions use it. `name` is what messages call it: "port 0 of 0000:00:05.0".
struct PortAccess {
    const PortRegisters& registers;
    PortMemory& memory;
    std::uint64_t iova;  ///< of the memory
    RunLoop& loop;
    const Limits& limits;
    const std::string& name;
};

/// True when a disk is there and the link to it works.
bool link_is_up(const PortRegisters& registers) noexcept;
/// The disk is in the middle of something (BSY or DRQ).
bool busy(Value<TaskFileData> task_file) noexcept;

/// Tells the HBA where the port's memory is, powers the disk, and lets FISes in (10.3.1). The port is idle.
void prepare_port(PortAccess access) noexcept;

/// No command is fetched any more, and none is under way (10.1.2). False when the HBA does not stop in time:
/// only a reset helps then.
Task<bool> stop_commands(PortAccess access);
/// The same, and no FIS is written to memory any more.
Task<bool> stop_port(PortAccess access);
/// Commands are fetched from here on. The disk is not busy.
void start_commands(PortAccess access) noexcept;

/// Waits until the link is up. False when it is not in time: there is no disk.
Task<bool> wait_for_link(PortAccess access, Duration limit);
/// Stops commands, resets disk and link (COMRESET, 10.4.2), and waits for the link. False when nothing
/// answers. Throws Error.
Task<bool> reset_link(PortAccess access);
/// Waits until the disk is ready after a reset. Throws Error.
Task<void> wait_until_ready(PortAccess access);

/// Forgets what errors the port has noted.
void clear_errors(PortAccess access) noexcept;

/// One command, from issue to end, in slot 0; data comes into the memory's page. Throws Error (kind io) when
/// it fails: commands have to be stopped and started again then.
Task<void> run_command(PortAccess access, ata::TaskFile task);
/// IDENTIFY DEVICE. Throws Error when the command fails, or what it tells is not a disk that can be driven.
Task<ata::DiskIdentity> identify_disk(PortAccess access);

/// What the log of queued errors says (ACS-3, A.14).
struct QueuedError {
    unsigned tag = 0;
    std::uint8_t status = 0;
    std::uint8_t error = 0;
};
/// Which of the queued commands has failed; nothing when the disk does not say. Throws Error.
Task<std::optional<QueuedError>> read_queued_error(PortAccess access);

}  // namespace outboard::ahci
