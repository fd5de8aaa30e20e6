#include "outboard/backend/device_name.hpp"

#include "outboard/base/error.hpp"

#include <filesystem>

#include "tests/support/expect_error.hpp"
#include <gtest/gtest.h>

namespace outboard {
namespace {

TEST(DeviceName, IsAPciAddress) {
    const DeviceName name = DeviceName::parse("0000:0A:1f.7");
    ASSERT_TRUE(name.pci());
    EXPECT_EQ(name.text(), "0000:0a:1f.7");
    EXPECT_EQ(name.socket(), "");
}

TEST(DeviceName, IsTheSocketOfAServer) {
    const DeviceName name = DeviceName::parse("vfio-user:dir/disk.sock");
    EXPECT_FALSE(name.pci());
    EXPECT_EQ(name.text(), "vfio-user:dir/disk.sock");
    EXPECT_EQ(name.socket(), "dir/disk.sock");
    EXPECT_EQ(name.full_socket(),
              (std::filesystem::canonical(std::filesystem::current_path()) / "dir/disk.sock").string());
    EXPECT_EQ(DeviceName::parse("vfio-user:/a/../b//c").full_socket(), "/b/c");
}

TEST(DeviceName, IsNothingElse) {
    for (const char* const text : {"", "sda", "00:04.0", "vfio-user", "vfio-user:", "VFIO-USER:/a"})
        EXPECT_EQ(test::error_of([&] { DeviceName::parse(text); }).kind(), ErrorKind::usage) << text;
    EXPECT_EQ(DeviceName().socket(), "");
}

}  // namespace
}  // namespace outboard
