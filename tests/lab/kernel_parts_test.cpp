// What the lab takes out of a kernel package: the image inside the image, and modules with what they need.
#include "outboard/base/error.hpp"
#include "outboard/lab/bzimage.hpp"
#include "outboard/lab/modules.hpp"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::lab {
namespace {

using testing::ElementsAre;

// "\177ELFkernel" as gzip makes it.
const std::string compressed_kernel(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xab\x77\xf5\x71\xcb\x4e\x2d\xca\x4b\xcd"
    "\x01\x00\xc2\x5c\x34\xc5\x0a\x00\x00\x00",
    30);

void put(std::string& image, std::size_t offset, std::size_t size, std::size_t value) {
    for (std::size_t i = 0; i < size; ++i)
        image[offset + i] = static_cast<char>(value >> (8 * i) & 0xff);
}

// A bzImage of two setup sectors whose payload starts 16 bytes into the protected-mode part.
std::string image_of(const std::string& payload) {
    std::string image(3 * 512 + 16, '\0');
    image[0x1f1] = 2;
    image.replace(0x202, 4, "HdrS");
    put(image, 0x206, 2, 0x20f);
    put(image, 0x248, 4, 16);
    put(image, 0x24c, 4, payload.size() + 4);
    return image + payload + "SIZEmore";
}

TEST(BzImage, FindsThePayloadWithoutItsTrailer) {
    EXPECT_EQ(bzimage_payload(image_of("payload")), "payload");
}

TEST(BzImage, DecompressesTheKernelInside) {
    EXPECT_EQ(vmlinux_of(image_of(compressed_kernel)), "\177ELFkernel");
}

TEST(BzImage, RefusesWhatIsNone) {
    EXPECT_THROW(bzimage_payload("short"), Error);
    EXPECT_THROW(bzimage_payload(std::string(4096, '\0')), Error);
}

TEST(BzImage, RefusesAnOldProtocol) {
    std::string image = image_of("payload");
    put(image, 0x206, 2, 0x207);
    EXPECT_THROW(bzimage_payload(image), Error);
}

TEST(BzImage, RefusesAPayloadBeyondItsEnd) {
    std::string image = image_of("payload");
    put(image, 0x24c, 4, 0xffffffff);
    EXPECT_THROW(bzimage_payload(image), Error);
    put(image, 0x24c, 4, 4);
    EXPECT_THROW(bzimage_payload(image), Error);
}

TEST(BzImage, RefusesAPayloadThatIsNotCompressedOrNoProgram) {
    EXPECT_THROW(vmlinux_of(image_of("plain text, not compressed at all")), Error);
}

const char* const modules_dep =
    "kernel/drivers/vfio/vfio.ko.xz:\n"
    "kernel/drivers/vfio/pci/vfio-pci-core.ko.xz: kernel/drivers/vfio/vfio.ko.xz kernel/lib/irqbypass.ko.xz\n"
    "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/pci/vfio-pci-core.ko.xz "
    "kernel/drivers/vfio/vfio.ko.xz kernel/lib/irqbypass.ko.xz\n"
    "kernel/lib/irqbypass.ko.xz:\n"
    "kernel/fs/other.ko.xz:\n";

TEST(Modules, FindsAllThatAModuleNeedsUnderEitherSpelling) {
    const ModuleIndex index(modules_dep);
    for (const char* name : {"vfio_pci", "vfio-pci"})
        EXPECT_THAT(index.closure({name}),
                    ElementsAre("kernel/drivers/vfio/pci/vfio-pci-core.ko.xz",
                                "kernel/drivers/vfio/pci/vfio-pci.ko.xz", "kernel/drivers/vfio/vfio.ko.xz",
                                "kernel/lib/irqbypass.ko.xz"));
    EXPECT_TRUE(index.contains("irqbypass"));
    EXPECT_FALSE(index.contains("kvm"));
    EXPECT_TRUE(index.closure({"built_in"}).empty());
}

TEST(Modules, ReducesTheIndexToWhatTheGuestHas) {
    EXPECT_EQ(
        reduced_modules_dep(modules_dep,
                            {"kernel/drivers/vfio/pci/vfio-pci-core.ko.xz", "kernel/fs/other.ko.xz"}),
        "kernel/drivers/vfio/pci/vfio-pci-core.ko: kernel/drivers/vfio/vfio.ko kernel/lib/irqbypass.ko\n"
        "kernel/fs/other.ko:\n");
}

TEST(Modules, ReducesAliasesToWhatTheGuestHas) {
    EXPECT_EQ(reduced_aliases("# Aliases\nalias pci:v1* vfio_pci\nalias pci:v2* snd_hda\n", {"vfio_pci"}),
              "alias pci:v1* vfio_pci\n");
}

}  // namespace
}  // namespace outboard::lab
