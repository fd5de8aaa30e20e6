// An ATA disk behind a SATA link: what its commands mean (ACS-3, clause 7), but for how their data travels.
#pragma once

#include "outboard/sim/models/ide_disk.hpp"
#include "outboard/sim/models/ide_identify.hpp"
#include "outboard/sim/storage.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace outboard::sim::ahci {

/// A disk as the IDE model has it, and its native command queuing.
struct DiskOptions {
    IdeDiskOptions disk;
    unsigned queue_depth = 32;  ///< 0: no native command queuing
};

/// The register content that a command FIS brings.
struct Request {
    std::uint8_t opcode = 0;
    std::uint8_t device = 0;
    std::uint16_t features = 0;
    std::uint16_t count = 0;
    std::uint64_t lba = 0;  ///< 48 bits

    bool queued() const noexcept {
        return opcode == ata::read_fpdma_queued || opcode == ata::write_fpdma_queued;
    }
    unsigned tag() const noexcept { return count >> 3 & 0x1f; }
};

/// What a command does, and with which bytes.
struct Plan {
    enum class Action { refuse, read, write, verify, flush, trim, page, nothing };
    Action action = Action::refuse;
    std::uint8_t error = 0;               ///< of a refused one: bits of the error register
    std::uint64_t offset = 0;             ///< bytes: where on the disk
    std::uint64_t bytes = 0;              ///< that move between host and disk
    bool to_host = false;                 ///< they move there; otherwise from it
    bool pio = false;                     ///< by the PIO protocol
    bool stable = false;                  ///< written past the cache
    std::optional<std::uint8_t> count{};  ///< what the count register says afterwards
};

class Disk {
  public:
    /// Throws Error.
    explicit Disk(const DiskOptions& options);

    /// What a request means now; a refused one says why. Settings change here.
    Plan plan(const Request& request);

    // What moves data gives the bits of the error register: 0 when all went well.

    std::uint8_t read(std::uint64_t offset, std::span<std::byte> data) noexcept;
    std::uint8_t write(std::uint64_t offset, std::span<const std::byte> data, bool stable) noexcept;
    std::uint8_t trim(std::span<const std::byte> ranges) noexcept;
    std::uint8_t verify(const Plan& plan) const noexcept;
    std::uint8_t flush() noexcept;
    /// The data of a plan with the action `page`.
    std::span<const std::byte> page() const noexcept { return page_; }

    /// A queued command has failed: all commands but READ LOG EXT of the log about it are refused from here
    /// on.
    void note_queued_error(unsigned tag, std::uint8_t error) noexcept;
    bool in_queued_error() const noexcept { return queued_error_; }

    /// After a reset; `power`: as after power-on.
    void reset(bool power) noexcept;

    Duration latency(const Plan& plan) const noexcept;
    Duration reset_time() const noexcept { return options_.disk.reset_time; }
    Storage& storage() noexcept { return storage_; }
    unsigned queue_depth() const noexcept { return options_.queue_depth; }

  private:
    Plan plan_transfer(const Request& request, bool write, bool extended, std::uint32_t sectors);
    Plan plan_feature(const Request& request);
    Plan plan_log(const Request& request);

    DiskOptions options_;
    Storage storage_;
    IdeIdentity identity_;
    IdeSettings settings_;
    std::array<std::byte, 512> page_{};
    std::array<std::byte, 512> error_log_{};
    bool queued_error_ = false;
};

}  // namespace outboard::sim::ahci
