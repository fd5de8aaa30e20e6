// The first message of a connection: protocol version and capabilities (vfio-user 0.1, VFIO_USER_VERSION).
#pragma once

#include "outboard/backend/vfio_user/protocol.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace outboard::sim {

/// What this server takes beside one message, and copies in one.
inline constexpr std::uint32_t max_message_descriptors = 16;
inline constexpr std::uint32_t max_transfer_bytes = vfio_user::default_max_transfer_bytes;

/// What the client states about itself; the specification's defaults where it says nothing.
struct ClientLimits {
    std::uint32_t message_descriptors = vfio_user::default_max_message_descriptors;
    std::uint32_t transfer_bytes = vfio_user::default_max_transfer_bytes;
};

struct Agreement {
    int error = 0;  ///< an errno value: the connection is refused
    ClientLimits client;
    vfio_user::Version version{};
    std::string capabilities;  ///< for the reply, with its zero byte
};

/// Answers the body of a version message. The reply has the capabilities that both know; a client of another
/// major version is refused with EPROTONOSUPPORT, a malformed message with EINVAL.
Agreement negotiate(std::span<const std::byte> body);

}  // namespace outboard::sim
