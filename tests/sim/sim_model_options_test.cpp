#include "outboard/sim/model_options.hpp"
#include "outboard/sim/model_table.hpp"

#include <array>
#include <chrono>

#include "tests/support/expect_error.hpp"
#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::array known{OptionDescription{.name = "x", .value = "on", .help = ""}};

ModelOptions with(const char* value) {
    ModelOptions options(known);
    options.set("x", value);
    return options;
}

TEST(SimModelOptions, AreReadAsWhatTheyMean) {
    EXPECT_TRUE(ModelOptions(known).flag("x"));
    EXPECT_FALSE(with("off").flag("x"));
    EXPECT_EQ(with("17").number("x"), 17U);
    EXPECT_EQ(with("0xffffffffffffffff").number("x"), ~std::uint64_t{0});
    EXPECT_EQ(with("512").bytes("x"), 512U);
    EXPECT_EQ(with("3G").bytes("x"), std::uint64_t{3} << 30);
    EXPECT_EQ(with("10us").duration("x"), 10us);
    EXPECT_EQ(with("0s").duration("x"), 0s);
}

TEST(SimModelOptions, AreRefusedOtherwise) {
    EXPECT_ERROR(with("1x").number("x"), ErrorKind::usage,
                 "cannot use --x 1x: it is not a number, such as 4096 or 0x1000");
    EXPECT_ERROR(with("1KB").bytes("x"), ErrorKind::usage,
                 "cannot use --x 1KB: it is not a size, such as 4096, 64K or 1G");
    EXPECT_ERROR(with("5").duration("x"), ErrorKind::usage,
                 "cannot use --x 5: it is not a time, such as 10us, 100ms or 2s");
    EXPECT_ERROR(with("yes").flag("x"), ErrorKind::usage, "cannot use --x yes: it is not on or off");
    for (const char* const value : {"", "-1", " 1", "0x", "99999999999999999999"})
        EXPECT_THROW(with(value).number("x"), Error) << value;
    EXPECT_THROW(with("99999999999T").bytes("x"), Error);
    EXPECT_THROW(with("99999999999999s").duration("x"), Error);
}

TEST(SimModelTable, EveryModelCanBeMadeAsItIs) {
    for (const ModelDescription* const model : built_in_models()) {
        const auto made = model->make(ModelOptions(model->options));
        EXPECT_EQ(made->description().name, model->name);
    }
}

}  // namespace
}  // namespace outboard::sim
