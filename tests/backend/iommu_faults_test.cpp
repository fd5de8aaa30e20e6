#include "outboard/backend/pci/iommu_faults.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/expect_error.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard {
namespace {

void expect_fault(const char* line, const char* device, bool write, std::uint64_t iova, const char* reason) {
    EXPECT_TRUE(parse_iommu_fault(line)) << line;
    const IommuFault fault = parse_iommu_fault(line).value_or(IommuFault{});
    EXPECT_EQ(fault.device.text(), device) << line;
    EXPECT_EQ(fault.write, write) << line;
    EXPECT_EQ(fault.iova, iova) << line;
    EXPECT_EQ(fault.reason, reason) << line;
}

TEST(IommuFaults, ReadsIntelLines) {
    expect_fault(
        "DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x8001000 [fault reason 0x05] PTE "
        "Write access "
        "is not set",
        "0000:00:03.0", true, 0x8001000, "PTE Write access is not set");
    expect_fault(
        "DMAR: [DMA Read NO_PASID] Request device [3b:1f.7] fault addr 0xfffffffff000 [fault reason 0x06] "
        "PTE Read "
        "access is not set",
        "0000:3b:1f.7", false, 0xfffffffff000, "PTE Read access is not set");
    expect_fault(
        "DMAR: [DMA Write PASID 0x2] Request device [00:03.0] fault addr 0x1000 [fault reason 0x71] SM: x",
        "0000:00:03.0", true, 0x1000, "SM: x");
}

TEST(IommuFaults, ReadsIntelLinesOfOlderKernels) {
    expect_fault(
        "DMAR: [DMA Write] Request device [04:00.0] PASID ffffffff fault addr 69974000 [fault reason 05] PTE "
        "Write "
        "access is not set",
        "0000:04:00.0", true, 0x69974000, "PTE Write access is not set");
}

TEST(IommuFaults, ReadsAmdLines) {
    expect_fault(
        "vfio-pci 0000:06:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0010 address=0xbb0e3400 "
        "flags=0x0020]",
        "0000:06:00.0", true, 0xbb0e3400, "flags=0x0020");
    expect_fault(
        "AMD-Vi: Event logged [IO_PAGE_FAULT device=07:00.0 domain=0x0007 address=0xffffc02000 flags=0x0000]",
        "0000:07:00.0", false, 0xffffc02000, "flags=0x0000");
    expect_fault(
        "AMD-Vi: Event logged [IO_PAGE_FAULT device=0001:07:00.0 domain=0x0007 address=0x0 flags=0x0030]",
        "0001:07:00.0", true, 0, "flags=0x0030");
}

TEST(IommuFaults, PassesOverOtherLines) {
    for (const char* line :
         {"", "DMAR: ", "DMAR: DRHD: handling fault status reg 3", "AMD-Vi: Event logged [IO_PAGE_FAULT ",
          ": AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1 address=0x0 flags=0x0]",
          "AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1 address=0x0 flags=0x0]",
          "DMAR: [INTR-REMAP] Request device [00:03.0] fault index 0x24 [fault reason 0x22] x",
          "DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr",
          "DMAR: [DMA Write NO_PASID] Request device [00:63.0] fault addr 0x1 [fault reason 0x05] x",
          "AMD-Vi: Event logged [ILLEGAL_DEV_TABLE_ENTRY device=00:03.0 pasid=0x0 address=0x0 flags=0x0]"})
        EXPECT_FALSE(parse_iommu_fault(line)) << line;
}

RC_GTEST_PROP(IommuFaults, PartsOfALineNeverBreakTheParser, ()) {
    const std::string whole = *rc::gen::element<std::string>(
        "DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x8001000 [fault reason 0x05] PTE "
        "Write",
        "v 0000:06:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT device=1:2 domain=0x0010 address=0xb "
        "flags=0x0020]");
    const auto first = *rc::gen::inRange<std::size_t>(0, whole.size());
    const auto length = *rc::gen::inRange<std::size_t>(0, whole.size());
    (void)parse_iommu_fault(whole.substr(0, first) + whole.substr(std::min(whole.size(), first + length)));
}

// A regular file stands for /dev/kmsg: it starts at its end too, and gives what is appended.
TEST(IommuFaultWatch, GivesTheFaultsOfOneDeviceFromNowOn) {
    std::string path = (std::filesystem::temp_directory_path() / "outboard-kmsg-XXXXXX").string();
    const Fd file(::mkstemp(path.data()));
    const auto append = [&](const char* text) { std::ofstream(path, std::ios::app) << text; };
    append(
        "3,1,10,-;DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x1 [fault reason 0x05] "
        "old\n");
    IommuFaultWatch watch(path);
    const PciAddress device = PciAddress::parse("0000:00:03.0");
    EXPECT_TRUE(watch.take(device).empty());
    append(
        "3,2,11,-;DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x2000 [fault reason 0x05] "
        "new\n"
        " SUBSYSTEM=pci\n");
    const auto faults = watch.take(device);
    ASSERT_EQ(faults.size(), 1U);
    EXPECT_EQ(faults[0].iova, 0x2000U);
    EXPECT_EQ(faults[0].reason, "new");
    append(
        "3,3,12,-;DMAR: [DMA Write NO_PASID] Request device [00:04.0] fault addr 0x2000 [fault reason 0x05] "
        "other\n");
    EXPECT_TRUE(watch.take(device).empty());
    append(
        "3,4,13,-;DMAR: [DMA Write NO_PASID] Request device [00:04.0] fault addr 0x3000 [fault reason 0x05] "
        "of any device\n");
    const auto all = watch.take();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].device, PciAddress::parse("0000:00:04.0"));
    std::filesystem::remove(path);
}

TEST(IommuFaultWatch, SaysWhenTheLogCannotBeRead) {
    EXPECT_ERROR(IommuFaultWatch("/nonexistent/kmsg"), ErrorKind::not_found,
                 "cannot watch for IOMMU faults in /nonexistent/kmsg: No such file or directory (ENOENT)");
}

}  // namespace
}  // namespace outboard
