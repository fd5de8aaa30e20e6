// QEMU's command line, and which QEMU.
#include "outboard/lab/machine.hpp"

#include "outboard/base/error.hpp"
#include "outboard/lab/apt_archive.hpp"
#include "outboard/lab/qemu.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::lab {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

Machine machine() {
    return {.qemu = {"qemu"},
            .kernel = "/k/vmlinux",
            .initramfs = "/s/initramfs",
            .append = "extra=1",
            .run = "/r",
            .scratch = "/s",
            .port = 7,
            .gdb_port = {},
            .devices = {},
            .arguments = {"-last"}};
}

// The word after `option`.
std::string value_of(const std::vector<std::string>& words, const std::string& option) {
    const auto at = std::ranges::find(words, option);
    return at == words.end() || at + 1 == words.end() ? "" : *(at + 1);
}

TEST(Machine, HasAnIommuBeforeTheDevicesItTranslatesFor) {
    Machine with_disk = machine();
    with_disk.devices = lay_out({"nvme"});
    const std::vector<std::string> words = qemu_arguments(with_disk);
    const auto iommu =
        std::ranges::find_if(words, [](const auto& word) { return word.starts_with("intel-iommu,"); });
    const auto disk = std::ranges::find_if(words, [](const auto& word) { return word.starts_with("nvme,"); });
    ASSERT_NE(disk, words.end());
    EXPECT_LT(iommu, disk);
    EXPECT_THAT(*iommu, HasSubstr("intremap=on,caching-mode=on"));
    EXPECT_THAT(value_of(words, "-append"), HasSubstr("intel_iommu=on"));
}

TEST(Machine, CanBeWithoutAnIommu) {
    Machine plain = machine();
    plain.iommu = false;
    EXPECT_THAT(qemu_arguments(plain), Not(Contains(HasSubstr("intel-iommu"))));
    EXPECT_THAT(qemu_arguments(plain), Not(Contains(HasSubstr("intel_iommu=on"))));
}

TEST(Machine, IsDeterministicWithOneProcessorAndCountedInstructions) {
    Machine counted = machine();
    counted.deterministic = true;
    counted.processors = 4;
    const std::vector<std::string> words = qemu_arguments(counted);
    EXPECT_EQ(value_of(words, "-icount"), "shift=3");
    EXPECT_EQ(value_of(words, "-smp"), "1");
    EXPECT_EQ(value_of(words, "-accel"), "tcg,thread=single");
}

TEST(Machine, PutsPathsOfTheRunIntoDeviceArguments) {
    Machine full = machine();
    full.devices = lay_out({"ide", "ahci,file=/images/a.img", "serial"});
    const std::vector<std::string> words = qemu_arguments(full);
    EXPECT_THAT(words, Contains(HasSubstr("file=/s/ide0.img,")));
    EXPECT_THAT(words, Contains(HasSubstr("file=/images/a.img,")));
    EXPECT_THAT(words, Contains(HasSubstr("path=/r/serial0.log")));
    EXPECT_THAT(words, Not(Contains(HasSubstr("@"))));
}

TEST(Machine, EndsWithTheRawArguments) {
    EXPECT_EQ(qemu_arguments(machine()).back(), "-last");
}

TEST(Qemu, SaysWhatToDoWhenThereIsNone) {
    AptArchive archive("/nonexistent");
    try {
        find_qemu(archive, "/nonexistent/qemu-system-x86_64", {});
        FAIL() << "found a QEMU that does not exist";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::not_found);
        EXPECT_THAT(error.what(), HasSubstr("apt-get install qemu-system-x86"));
    }
}

}  // namespace
}  // namespace outboard::lab
