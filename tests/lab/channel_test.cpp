// Frames between the lab and its guest.
#include "outboard/lab/channel.hpp"

#include "outboard/base/error.hpp"

#include <string>

#include <gtest/gtest.h>

namespace outboard::lab {
namespace {

TEST(Channel, PutsFramesTogetherFromSingleBytes) {
    const std::string bytes =
        pack(FrameKind::output, "one") + pack(FrameKind::input, "") + pack(FrameKind::event, "{}");
    FrameReader reader;
    std::string seen;
    for (const char byte : bytes) {
        reader.add({&byte, 1});
        while (const auto frame = reader.next())
            seen += std::to_string(static_cast<unsigned>(frame->kind)) + frame->body + ";";
    }
    EXPECT_EQ(seen, "1one;4;0{};");
}

TEST(Channel, CarriesEveryByte) {
    std::string all;
    for (int value = 0; value < 256; ++value)
        all += static_cast<char>(value);
    FrameReader reader;
    reader.add(pack(FrameKind::files, all));
    const auto frame = reader.next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->body, all);
    EXPECT_FALSE(reader.next());
}

TEST(Channel, RefusesWhatIsNoFrame) {
    for (const std::string& bytes : {std::string(8, '\xff'), std::string("kernel panic")}) {
        FrameReader reader;
        reader.add(bytes);
        EXPECT_THROW(reader.next(), Error);
    }
}

}  // namespace
}  // namespace outboard::lab
