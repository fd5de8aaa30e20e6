#include "outboard/drivers/virtio/layout.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/base/endian.hpp"
#include "outboard/device/config_space.hpp"
#include "outboard/drivers/virtio/registers.hpp"

namespace outboard::virtio {

namespace {

/// cfg_type (4.1.4).
enum class StructureType : std::uint8_t { common = 1, notifications = 2, interrupt_status = 3, device = 4 };

/// struct virtio_pci_cap.
struct StructureCapability {
    std::uint8_t id;
    std::uint8_t next;
    std::uint8_t length;
    StructureType type;
    std::uint8_t bar;
    std::uint8_t structure_id;
    std::array<std::uint8_t, 2> padding;
    Le32 offset;
    Le32 structure_length;
};
static_assert(sizeof(StructureCapability) == 16);
/// Behind it, with notifications: notify_off_multiplier.
constexpr std::size_t notify_capability_bytes = 20;

bool fits(const Structure& structure, std::uint64_t bar_size, std::uint32_t least, std::uint32_t alignment) {
    return structure.length >= least && structure.offset % alignment == 0 && structure.offset <= bar_size &&
           structure.length <= bar_size - structure.offset;
}

void keep_first(std::optional<Structure>& found, const Structure& structure, std::uint64_t bar_size,
                std::uint32_t least, std::uint32_t alignment) {
    if (!found && fits(structure, bar_size, least, alignment))
        found = structure;
}

}  // namespace

std::expected<Layout, std::string_view> find_layout(std::span<const std::byte> bytes,
                                                    const std::array<std::uint64_t, bar_count>& bars) {
    std::optional<Structure> common;
    std::optional<Structure> notifications;
    std::optional<Structure> interrupt_status;
    std::optional<Structure> device;
    std::uint32_t multiplier = 0;
    for (const Capability& capability : parse_capabilities(bytes)) {
        const auto header = read_at<StructureCapability>(bytes, capability.offset);
        if (capability.extended ||
            capability.id != static_cast<std::uint16_t>(CapabilityId::vendor_specific) || !header ||
            header->length < sizeof(StructureCapability) || header->bar >= bar_count)
            continue;
        const Structure structure{
            .bar = header->bar, .offset = header->offset, .length = header->structure_length};
        const std::uint64_t size = bars[structure.bar];
        switch (header->type) {
            case StructureType::common:
                keep_first(common, structure, size, common_bytes, 4);
                break;
            case StructureType::notifications: {
                const auto after = read_at<Le32>(bytes, capability.offset + sizeof(StructureCapability));
                if (notifications || !after || header->length < notify_capability_bytes)
                    break;
                keep_first(notifications, structure, size, notification_bytes, 2);
                multiplier = *after;
                break;
            }
            case StructureType::interrupt_status:
                keep_first(interrupt_status, structure, size, interrupt_status_bytes, 1);
                break;
            case StructureType::device:
                keep_first(device, structure, size, 1, 4);
                break;
            default:
                break;
        }
    }
    if (!common)
        return std::unexpected("it has no common configuration structure: no modern virtio device");
    if (!notifications)
        return std::unexpected("it has no notification structure");
    if (!interrupt_status)
        return std::unexpected("it has no ISR structure");
    // An odd multiplier would give addresses that are not aligned (4.1.4.4).
    if (multiplier % 2 != 0)
        return std::unexpected("its notification multiplier is odd");
    return Layout{.common = *common,
                  .notifications = *notifications,
                  .notify_multiplier = multiplier,
                  .interrupt_status = *interrupt_status,
                  .device = device};
}

std::optional<std::uint64_t> notification_offset(const Layout& layout, std::uint16_t queue_notify_offset) {
    const std::uint64_t place = std::uint64_t{queue_notify_offset} * layout.notify_multiplier;
    if (place > layout.notifications.length || layout.notifications.length - place < notification_bytes)
        return std::nullopt;
    return layout.notifications.offset + place;
}

}  // namespace outboard::virtio
