// Where a virtio device has its structures: the vendor-specific capabilities in its configuration space
// (Virtio 1.2, 4.1.4). Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

namespace outboard::virtio {

inline constexpr unsigned bar_count = 6;

/// A structure in a BAR; it lies inside.
struct Structure {
    unsigned bar = 0;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;

    friend bool operator==(const Structure&, const Structure&) = default;
};

struct Layout {
    Structure common;
    Structure notifications;
    std::uint32_t notify_multiplier = 0;
    Structure interrupt_status;
    /// Configuration of the device type; some types have none.
    std::optional<Structure> device;
};

/// Finds the structures of the modern interface in `bytes` of configuration space; `bars` are the sizes of
/// the BARs, 0 where there is none. The bytes are the device's word: the first structure of each type that
/// lies inside its BAR and is long enough counts. What is missing is the error.
std::expected<Layout, std::string_view> find_layout(std::span<const std::byte> bytes,
                                                    const std::array<std::uint64_t, bar_count>& bars);

/// Where notifications of a queue go in their BAR; nothing when that is not inside the structure.
std::optional<std::uint64_t> notification_offset(const Layout& layout, std::uint16_t queue_notify_offset);

}  // namespace outboard::virtio
