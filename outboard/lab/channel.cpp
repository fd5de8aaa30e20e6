#include "outboard/lab/channel.hpp"

#include "outboard/base/error.hpp"

#include <cstring>

namespace outboard::lab {

std::string pack(FrameKind kind, std::string_view body) {
    const FrameHeader header{.kind = static_cast<std::uint32_t>(kind),
                             .length = static_cast<std::uint32_t>(body.size())};
    std::string bytes(sizeof header + body.size(), '\0');
    std::memcpy(bytes.data(), &header, sizeof header);
    std::memcpy(bytes.data() + sizeof header, body.data(), body.size());
    return bytes;
}

std::optional<Frame> FrameReader::next() {
    FrameHeader header;
    if (pending_.size() < sizeof header)
        return std::nullopt;
    std::memcpy(&header, pending_.data(), sizeof header);
    if (header.length > longest_frame || header.kind > static_cast<std::uint32_t>(FrameKind::window))
        throw Error({.kind = ErrorKind::io,
                     .action = "read from",
                     .subject = "the lab's guest",
                     .cause = "what came is not what the lab's first program says",
                     .remedy = "build the whole project, so that both ends are of one version"});
    if (pending_.size() < sizeof header + header.length)
        return std::nullopt;
    Frame frame{.kind = FrameKind{static_cast<std::uint32_t>(header.kind)},
                .body = pending_.substr(sizeof header, header.length)};
    pending_.erase(0, sizeof header + header.length);
    return frame;
}

}  // namespace outboard::lab
