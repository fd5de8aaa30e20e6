#include "outboard/base/bytes.hpp"
#include "outboard/sim/negotiation.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace outboard::sim {
namespace {

using namespace std::string_literals;

Agreement propose(std::uint16_t major, std::uint16_t minor, std::string_view text) {
    std::vector<std::byte> body;
    const vfio_user::Version version{.major = major, .minor = minor};
    for (const std::byte byte : bytes_of(version))
        body.push_back(byte);
    for (const char character : text)
        body.push_back(static_cast<std::byte>(character));
    return negotiate(body);
}

TEST(SimNegotiation, AgreesOnWhatBothKnow) {
    const Agreement agreement = propose(0, 1,
                                        R"({"capabilities":{"max_msg_fds":8,"max_data_xfer_size":65536,)"
                                        R"("pgsizes":4096,"write_multiple":true,"new":[1]}})"
                                        "\0"s);
    EXPECT_EQ(agreement.error, 0);
    EXPECT_EQ(agreement.version.minor, 1);
    EXPECT_EQ(agreement.client.message_descriptors, 8U);
    EXPECT_EQ(agreement.client.transfer_bytes, 65536U);
    ASSERT_EQ(agreement.capabilities.back(), '\0');
    const auto reply = nlohmann::json::parse(agreement.capabilities.c_str()).at("capabilities");
    EXPECT_EQ(reply.size(), 4U) << "a subset of those proposed";
    EXPECT_EQ(reply.at("max_msg_fds"), 16);
    EXPECT_EQ(reply.at("max_data_xfer_size"), 1 << 20);
    EXPECT_EQ(reply.at("write_multiple"), true);
}

TEST(SimNegotiation, TextIsOptional) {
    for (const std::string& text : {""s, "{}\0"s, "{\"capabilities\":{}}\0"s}) {
        const Agreement agreement = propose(0, 1, text);
        EXPECT_EQ(agreement.error, 0) << text;
        EXPECT_EQ(agreement.client.message_descriptors, 1U);
        EXPECT_EQ(agreement.client.transfer_bytes, 1U << 20);
        EXPECT_STREQ(agreement.capabilities.c_str(), "{\"capabilities\":{}}");
    }
}

TEST(SimNegotiation, TheLowerMinorVersionHolds) {
    EXPECT_EQ(propose(0, 0, "").version.minor, 0);
    EXPECT_EQ(propose(0, 7, "").version.minor, 1);
}

TEST(SimNegotiation, AnotherMajorVersionIsRefused) {
    EXPECT_EQ(propose(1, 0, "").error, EPROTONOSUPPORT);
    EXPECT_EQ(propose(0xffff, 1, "").error, EPROTONOSUPPORT);
}

TEST(SimNegotiation, NonsenseIsRefused) {
    EXPECT_EQ(negotiate({}).error, EINVAL);
    EXPECT_EQ(negotiate(std::vector<std::byte>(3)).error, EINVAL);
    for (const std::string& text :
         {"{}"s, "\0"s, "{}\0\0"s, "{\0}\0"s, "[]\0"s, "null\0"s, "{\0"s, "{\"capabilities\":3}\0"s,
          "\xff\0"s, "{\"capabilities\":{\"max_msg_fds\":-1}}\0"s,
          "{\"capabilities\":{\"max_msg_fds\":\"8\"}}\0"s, "{\"capabilities\":{\"max_msg_fds\":1.5}}\0"s,
          "{\"capabilities\":{\"max_data_xfer_size\":0}}\0"s, std::string(100000, '[') + "\0"s})
        EXPECT_EQ(propose(0, 1, text).error, EINVAL) << text.substr(0, 60);
}

TEST(SimNegotiation, DepthCostsNoStack) {
    const std::string deep = std::string(500000, '[') + std::string(500000, ']');
    EXPECT_EQ(propose(0, 1, "{\"capabilities\":{\"new\":" + deep + "}}" + "\0"s).error, 0);
}

TEST(SimNegotiation, HugeLimitsAreCutToWhatCanBeUsed) {
    EXPECT_EQ(propose(0, 1, "{\"capabilities\":{\"max_data_xfer_size\":18446744073709551615}}\0"s)
                  .client.transfer_bytes,
              0xffffffffU);
}

}  // namespace
}  // namespace outboard::sim
