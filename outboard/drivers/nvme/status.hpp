// The status of a completion (NVM Express Base Specification 2.0, 3.3.3.2.1; NVM Command Set Specification
// 1.0, 3.1.2) as a BlockStatus and as words. Pure.
#pragma once

#include "outboard/classes/block_device.hpp"

#include <cstdint>
#include <string>

namespace outboard::nvme {

/// The status field without the phase: code 7:0, type 10:8, more 13, do not retry 14.
class Status {
  public:
    constexpr Status() noexcept = default;
    constexpr explicit Status(std::uint16_t raw) noexcept : raw_(raw) {}

    constexpr std::uint16_t raw() const noexcept { return raw_; }
    constexpr bool ok() const noexcept { return (raw_ & 0x7ff) == 0; }
    /// Type and code: 0x281 is code 81h of type 2.
    constexpr unsigned type_and_code() const noexcept { return raw_ & 0x7ffU; }
    constexpr unsigned type() const noexcept { return raw_ >> 8U & 7U; }
    constexpr bool do_not_retry() const noexcept { return (raw_ >> 14 & 1) != 0; }

    friend constexpr bool operator==(Status, Status) noexcept = default;

  private:
    std::uint16_t raw_ = 0;
};

namespace status {

inline constexpr unsigned invalid_opcode = 0x001;
inline constexpr unsigned invalid_field = 0x002;
inline constexpr unsigned abort_requested = 0x007;
inline constexpr unsigned invalid_namespace = 0x00b;
inline constexpr unsigned write_protected = 0x020;
inline constexpr unsigned lba_out_of_range = 0x080;
inline constexpr unsigned media_type = 2;
inline constexpr unsigned access_denied = 0x286;

}  // namespace status

/// What the caller of a failed request is told.
BlockStatus block_status(Status status) noexcept;

/// True when the same command may succeed if it is sent again. An error of the medium is not tried again: the
/// controller has done that.
bool worth_retrying(Status status) noexcept;

/// "unrecovered read error (status 0281h, do not retry)".
std::string describe(Status status);

}  // namespace outboard::nvme
