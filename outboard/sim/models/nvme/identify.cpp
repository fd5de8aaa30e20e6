#include "outboard/sim/models/nvme/identify.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/sim/models/nvme/events.hpp"
#include "outboard/sim/models/nvme/features.hpp"
#include "outboard/sim/models/nvme/logs.hpp"
#include "outboard/sim/models/nvme/registers.hpp"

#include <algorithm>
#include <bit>
#include <span>
#include <string_view>

#include <fmt/format.h>

namespace outboard::sim::nvme {

namespace {

constexpr unsigned smallest_page_shift = 12;

// Bits of optional features (figure 247).
constexpr std::uint16_t admin_doorbell_buffer = 1U << 8;  // OACS
constexpr std::uint16_t io_compare = 1U << 0;             // ONCS
constexpr std::uint16_t io_dataset_management = 1U << 2;
constexpr std::uint16_t io_write_zeroes = 1U << 3;
constexpr std::uint16_t io_feature_select = 1U << 4;
constexpr std::uint8_t firmware_one_slot_read_only = 0x03;  // FRMW
constexpr std::uint8_t log_extended = 1U << 2;              // LPA
constexpr std::uint8_t write_cache_present = 1U << 0;       // VWC
constexpr std::uint8_t flush_of_all_namespaces = 3U << 1;
constexpr std::uint8_t reads_zeros = 1;  // DLFEAT
constexpr std::uint8_t zeroes_deallocate = 1U << 3;
constexpr std::uint8_t io_controller = 1;  // CNTRLTYPE

template <std::size_t Size>
void put_text(std::array<char, Size>& field, std::string_view text) {
    field.fill(' ');
    std::ranges::copy(text.substr(0, Size), field.begin());
}

/// A name that differs from one serial number to another (FNV-1a).
std::uint64_t hash(std::string_view text) noexcept {
    std::uint64_t value = 0xcbf29ce484222325;
    for (const char c : text)
        value = (value ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
    return value;
}

}  // namespace

ControllerData make_controller_data(const Options& options, const Namespaces& namespaces) {
    ControllerData data{};
    data.vendor = vendor_id;
    data.subsystem_vendor = vendor_id;
    put_text(data.serial, options.serial);
    put_text(data.model, "Outboard simulated NVMe");
    put_text(data.firmware, firmware_revision);
    data.max_transfer = static_cast<std::uint8_t>(std::countr_zero(options.max_transfer) -
                                                  static_cast<int>(smallest_page_shift));
    data.version = version_1_4;
    data.controller_type = io_controller;
    data.optional_admin_commands =
        offers_shadow_doorbells(options) ? admin_doorbell_buffer : std::uint16_t{0};
    data.abort_limit = abort_limit - 1;
    data.async_event_limit = AsyncEvents::max_requests - 1;
    data.firmware_updates = firmware_one_slot_read_only;
    data.log_page_attributes = log_extended;
    data.error_log_entries = error_log_entries - 1;
    data.warning_temperature = warning_temperature;
    data.critical_temperature = critical_temperature;
    data.submission_entry_sizes = 0x66;
    data.completion_entry_sizes = 0x44;
    data.namespaces = namespaces.count();
    data.optional_io_commands =
        std::uint16_t{io_compare | io_dataset_management | io_write_zeroes | io_feature_select};
    data.write_cache = static_cast<std::uint8_t>(flush_of_all_namespaces |
                                                 (namespaces.has_write_cache() ? write_cache_present : 0));
    const std::string name = fmt::format("nqn.2014-08.org.nvmexpress:{:04x}{:04x}{:<20}{:<40}", vendor_id,
                                         vendor_id, options.serial, "Outboard simulated NVMe");
    std::ranges::copy(name, data.qualified_name.begin());
    data.power_state0_maximum = 900;
    return data;
}

NamespaceData make_namespace_data(const Namespace& name_space, const Options& options, std::uint32_t id) {
    NamespaceData data{};
    data.size = name_space.blocks;
    data.capacity = name_space.blocks;
    data.used = name_space.blocks;
    data.deallocation = reads_zeros | zeroes_deallocate;
    data.block_formats[0].block_shift = static_cast<std::uint8_t>(name_space.block_shift);
    // Locally administered, and of this controller.
    const std::uint64_t unique = hash(options.serial) + id;
    for (unsigned i = 0; i < data.eui64.size(); ++i)
        data.eui64[i] = static_cast<std::uint8_t>(unique >> (56 - 8 * i));
    data.eui64[0] = 0x02;
    std::ranges::copy(data.eui64, data.guid.begin());
    std::ranges::copy(data.eui64, data.guid.begin() + 8);
    return data;
}

IdentifyPage make_namespace_list(const Namespaces& namespaces, std::uint32_t after) {
    std::array<Le32, identify_bytes / sizeof(Le32)> list{};
    std::size_t used = 0;
    for (std::uint32_t id = after + 1; id <= namespaces.count() && used < list.size(); ++id)
        list[used++] = id;
    return std::bit_cast<IdentifyPage>(list);
}

IdentifyPage make_namespace_descriptors(const NamespaceData& data) {
    IdentifyPage page{};
    std::span<std::byte> rest = page;
    const auto add = [&rest](std::uint8_t type, std::span<const std::uint8_t> identifier) {
        const NamespaceDescriptor head{
            .type = type, .length = static_cast<std::uint8_t>(identifier.size()), .filler2 = {}};
        std::ranges::copy(bytes_of(head), rest.begin());
        std::ranges::copy(std::as_bytes(identifier), rest.begin() + sizeof head);
        rest = rest.subspan(sizeof head + identifier.size());
    };
    add(descriptor_eui64, data.eui64);
    add(descriptor_guid, data.guid);
    return page;
}

}  // namespace outboard::sim::nvme
