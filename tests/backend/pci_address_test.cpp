#include "outboard/backend/pci/address.hpp"

#include <string>

#include "tests/support/expect_error.hpp"
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard {
namespace {

TEST(PciAddress, ReadsAFullAddress) {
    const PciAddress address = PciAddress::parse("0000:3b:1f.7");
    EXPECT_EQ(address.domain, 0U);
    EXPECT_EQ(address.bus, 0x3b);
    EXPECT_EQ(address.device, 0x1f);
    EXPECT_EQ(address.function, 7);
    EXPECT_EQ(address.text(), "0000:3b:1f.7");
}

TEST(PciAddress, ReadsDomainsOfMoreThanFourDigits) {
    EXPECT_EQ(PciAddress::parse("10000:01:00.0").domain, 0x10000U);
    EXPECT_EQ(PciAddress::parse("10000:01:00.0").text(), "10000:01:00.0");
}

TEST(PciAddress, WritesLowerCase) {
    EXPECT_EQ(PciAddress::parse("0000:AB:0C.1").text(), "0000:ab:0c.1");
}

TEST(PciAddress, RefusesEveryOtherForm) {
    for (const char* text :
         {"", "00:04.0", "0000:00:04", "0000:00:04.", "0000:00:04.8", "0000:00:20.0", "000:00:04.0",
          "0000:00:04.0 ", " 0000:00:04.0", "0000:00:4.0", "0000:0:04.0", "0000-00-04.0", "0000:00:04.00",
          "0x00:00:04.0", "-000:00:04.0", "000000000:00:04.0", "sda"})
        EXPECT_FALSE(PciAddress::has_form(text)) << text;
}

TEST(PciAddress, AnErrorShowsTheFormAndHowToFindDevices) {
    EXPECT_ERROR(
        PciAddress::parse("00:04.0"), ErrorKind::usage,
        "cannot find the PCI device '00:04.0': that is not a PCI address in full, such as 0000:00:04.0 "
        "(domain:bus:device.function); `outboard list` shows the devices of this machine");
}

RC_GTEST_PROP(PciAddress, ReadsWhatItWrites, (std::uint32_t domain, std::uint8_t bus)) {
    const PciAddress address{.domain = domain,
                             .bus = bus,
                             .device = *rc::gen::inRange<std::uint8_t>(0, 32),
                             .function = *rc::gen::inRange<std::uint8_t>(0, 8)};
    RC_ASSERT(PciAddress::parse(address.text()) == address);
}

RC_GTEST_PROP(PciAddress, AnyTextIsReadOrRefused, (const std::string& text)) {
    if (PciAddress::has_form(text))
        RC_ASSERT(PciAddress::parse(text).text().size() == text.size());
}

}  // namespace
}  // namespace outboard
