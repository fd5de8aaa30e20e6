// The options of `outboard sim ide`.
#include "outboard/base/error.hpp"
#include "outboard/sim/models/ide.hpp"

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tests/sim/socket_directory.hpp"
#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

std::unique_ptr<PciModel> make(std::initializer_list<std::pair<std::string_view, std::string>> words) {
    ModelOptions options(ide_description.options);
    for (const auto& [name, value] : words)
        options.set(name, value);
    return ide_description.make(options);
}

std::uint64_t size_of(PciModel& model, unsigned place) {
    IdeDisk* const disk = dynamic_cast<IdeModel&>(model).disk(place);
    return disk == nullptr ? 0 : disk->storage().size();
}

constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30;

TEST(IdeOptionWords, MakeOneDiskWithoutAny) {
    const auto model = make({});
    EXPECT_EQ(model->description().device, 0x0646);
    EXPECT_TRUE(model->description().interrupt_line);
    EXPECT_EQ(size_of(*model, 0), gibibyte);
    EXPECT_EQ(size_of(*model, 1), 0U);
}

TEST(IdeOptionWords, GiveEachDiskItsOwnAndTheRestTheLast) {
    const auto model = make({{"disks", "4"}, {"size", "1G,200G,2G"}, {"latency", "1ms,0us"}});
    EXPECT_EQ(size_of(*model, 0), gibibyte);
    EXPECT_EQ(size_of(*model, 1), 200 * gibibyte);
    EXPECT_EQ(size_of(*model, 2), 2 * gibibyte);
    EXPECT_EQ(size_of(*model, 3), 2 * gibibyte);
}

TEST(IdeOptionWords, NameImages) {
    const test::SocketDirectory directory;
    const std::string image = directory.path("image").string();
    make({{"file", image}, {"size", "4M"}});
    const auto model = make({{"disks", "2"}, {"file", image}, {"size", "8M"}});
    EXPECT_EQ(size_of(*model, 0), 4U << 20) << "an image says itself how large it is";
    EXPECT_EQ(size_of(*model, 1), 8U << 20) << "in memory";
}

TEST(IdeOptionWords, ChooseControllerAndMode) {
    EXPECT_FALSE(make({{"controller", "piix3"}})->description().interrupt_line);
    EXPECT_FALSE(make({{"mode", "compatibility"}})->description().interrupt_line);
    EXPECT_TRUE(make({{"mode", "native"}, {"controller", "plain"}})->description().interrupt_line);
}

TEST(IdeOptionWords, ThatAreWrongAreRefused) {
    const std::pair<std::string_view, std::string> wrong[] = {
        {"disks", "0"},    {"disks", "5"},      {"size", "much"},    {"size", "1G,,2G"}, {"sector", "1024"},
        {"mode", "both"},  {"latency", "fast"}, {"controller", "x"}, {"bad", "1+"},      {"bad", "a"},
        {"null", "maybe"}, {"write-cache", ""}, {"extended", "1"},   {"size", "0"}};
    for (const auto& word : wrong) {
        try {
            make({{"disks", "2"}, word});
            ADD_FAILURE() << word.first << " " << word.second;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
        }
    }
    EXPECT_NO_THROW(make({{"bad", "2048+8,7"}}));
}

}  // namespace
}  // namespace outboard::sim
