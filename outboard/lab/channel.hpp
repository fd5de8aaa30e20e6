// What the lab and the first program of its guest say to each other, over one virtio-serial port: frames of a
// kind, a length and that many bytes.
#pragma once

#include "outboard/base/endian.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outboard::lab {

/// The name of the port, under /sys/class/virtio-ports/*/name.
inline constexpr const char* port_name = "outboard.lab";
/// The name of the port that a debugger uses.
inline constexpr const char* gdb_port_name = "outboard.gdb";
/// Where the guest finds what it is to do: a JSON document.
inline constexpr const char* request_path = "/etc/outboard-lab.json";

enum class FrameKind : std::uint32_t {
    event = 0,   ///< guest to host: JSON: {"event": "start", "uptime": s}, {"event": "exit", "status": n}
    output = 1,  ///< guest to host: standard output of the command
    error_output = 2,  ///< guest to host: standard error of the command
    files = 3,         ///< guest to host: a tar archive of the files that were asked for
    input = 4,         ///< host to guest: standard input of the command; an empty frame ends it
    window = 5,        ///< host to guest: "ROWS COLUMNS" of the terminal
};

struct FrameHeader {
    Le32 kind;
    Le32 length;
};
static_assert(sizeof(FrameHeader) == 8);

/// The longest frame: what fits it comes in one piece.
inline constexpr std::size_t longest_frame = 65536;

struct Frame {
    FrameKind kind = FrameKind::event;
    std::string body;
};

/// The bytes of a frame.
std::string pack(FrameKind kind, std::string_view body);

/// Takes frames out of a stream of bytes that arrive in pieces.
class FrameReader {
  public:
    /// Adds bytes as they arrived.
    void add(std::string_view bytes) { pending_.append(bytes); }
    /// The next whole frame, or nothing yet. Throws Error when the stream is no sequence of frames.
    std::optional<Frame> next();

  private:
    std::string pending_;
};

}  // namespace outboard::lab
