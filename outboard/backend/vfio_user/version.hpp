// The version message: what client and server agree on before anything else ("VFIO_USER_VERSION" in the
// specification). Pure functions on bytes.
#pragma once

#include "outboard/backend/vfio_user/protocol.hpp"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>

namespace outboard::vfio_user {

/// What this client takes in one message.
inline constexpr std::uint32_t client_max_descriptors = 32;
inline constexpr std::uint32_t client_max_transfer_bytes = default_max_transfer_bytes;

/// What a server said, made fit for use.
struct ServerVersion {
    std::uint16_t minor = 0;
    std::uint32_t max_descriptors = default_max_message_descriptors;  ///< beside one message
    std::uint32_t max_transfer_bytes = default_max_transfer_bytes;    ///< of one read or write; at least 8
    std::uint32_t max_dma_maps = default_max_dma_maps;                ///< at the same time
    std::uint64_t dma_page_size = 4096;                               ///< a power of two, at least 4096
    bool write_multi = false;                                         ///< takes region_write_multi
    std::optional<std::size_t> twin_socket;  ///< which descriptor beside the reply is the twin socket
};

/// The JSON text of this client's own version message, with the zero byte at its end.
std::string version_proposal();

/// Reads the body of a server's reply that came with `descriptors` descriptors; otherwise what is wrong with
/// it, as half a sentence.
std::expected<ServerVersion, std::string> parse_version(std::span<const std::byte> body,
                                                        std::size_t descriptors);

}  // namespace outboard::vfio_user
