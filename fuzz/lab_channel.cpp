// The stream of frames between the lab and its guest, in pieces as they may arrive.
#include "outboard/lab/channel.hpp"

#include <string>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"

namespace outboard::fuzz {
namespace {

/// Takes all frames, in pieces of at most `piece` bytes, and gives the bytes they would be sent as.
std::string reassembled(std::string_view stream, std::size_t piece, bool& broken) {
    lab::FrameReader reader;
    std::string bytes;
    while (!stream.empty() && !broken) {
        reader.add(stream.substr(0, piece));
        stream.remove_prefix(std::min(piece, stream.size()));
        while (!broken) {
            const auto frame = accepted([&] { return reader.next(); }, ErrorKind::io);
            broken = !frame;
            if (broken || !*frame)
                break;
            require((*frame)->body.size() <= lab::longest_frame, "a frame is not too long");
            bytes += lab::pack((*frame)->kind, (*frame)->body);
        }
    }
    return bytes;
}

}  // namespace

void run(Input input) {
    const std::size_t piece = 1 + input.below(64);
    const std::string_view stream = input.take_text();
    bool broken = false;
    const std::string bytes = reassembled(stream, piece, broken);
    require(stream.starts_with(bytes), "frames that are sent again are the same bytes");
    bool broken_at_once = false;
    require(reassembled(stream, stream.size(), broken_at_once) == bytes && broken == broken_at_once,
            "the size of the pieces makes no difference");
}

}  // namespace outboard::fuzz
