// What Identify tells (NVM Express Base Specification 2.0, 5.17.2.1; NVM Command Set Specification 1.0,
// 4.1.5). Pure: the bytes are the device's word, and are checked here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace outboard::nvme {

inline constexpr std::size_t identify_bytes = 4096;

struct ControllerIdentity {
    std::string model;
    std::string serial;
    std::string firmware;
    std::uint64_t max_transfer = 0;      ///< MDTS in bytes; 0: no limit
    std::uint32_t namespaces = 0;        ///< NN: the highest number
    std::uint32_t error_entries = 1;     ///< ELPE: that the error log holds
    std::uint32_t shutdown_time_us = 0;  ///< RTD3E: at most, of a normal shutdown; 0: not stated
    bool doorbell_buffers = false;       ///< OACS: Doorbell Buffer Config
    bool dataset_management = false;     ///< ONCS
    bool write_zeroes = false;           ///< ONCS
    bool write_cache = false;            ///< VWC: there is a volatile write cache
    bool namespace_events = false;       ///< OAES: tells when namespaces change

    friend bool operator==(const ControllerIdentity&, const ControllerIdentity&) = default;
};

struct NamespaceIdentity {
    std::uint32_t id = 0;
    std::uint64_t blocks = 0;
    std::uint32_t block_size = 512;
    std::uint32_t physical_block_size = 512;  ///< preferred write granularity; a power of two
    bool read_only = false;                   ///< NSATTR: write protected at the moment

    friend bool operator==(const NamespaceIdentity&, const NamespaceIdentity&) = default;
};

/// The controller's words, or why it cannot be driven.
std::expected<ControllerIdentity, std::string_view> parse_controller(
    std::span<const std::byte, identify_bytes> bytes);

/// Why a namespace cannot be driven, likewise. `id` is the one that was asked about.
std::expected<NamespaceIdentity, std::string_view> parse_namespace(
    std::uint32_t id, std::span<const std::byte, identify_bytes> bytes);

/// The numbers in a list of namespaces: ascending, up to the first 0 or what is out of order.
std::vector<std::uint32_t> parse_namespace_list(std::span<const std::byte, identify_bytes> bytes);

}  // namespace outboard::nvme
