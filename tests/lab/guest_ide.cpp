// The IDE driver on QEMU's PIIX3: its suite, and beside the kernel's own driver on the same disks. The
// machine has four disks on it, with the serial numbers ide0 … ide3 in the four places; ide1 has 200 GiB.
#include "guest_ide.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "beside_the_kernel.hpp"
#include <gmock/gmock.h>

namespace outboard {
namespace guest {
namespace {

using test::block_is;
using test::fill_block;
using test::OurIde;
using test::Page;
using ::testing::IsEmpty;

constexpr std::uint64_t gibibyte = 1U << 30;
constexpr std::array<std::string_view, 4> serials{"ide0", "ide1", "ide2", "ide3"};

TEST(GuestIde, ShowsTheDisksAsTheKernelDoes) {
    struct Shown {
        std::string model, serial, firmware;
        std::uint64_t capacity;
        bool operator==(const Shown&) const = default;
    };
    std::vector<Shown> kernels;
    for (const std::string_view serial : serials) {
        const Kernels disk(serial);
        kernels.push_back({disk.model(), disk.serial(), disk.firmware(), disk.capacity()});
    }
    OurIde ours;
    ASSERT_EQ(ours.disks().size(), 4U);
    for (std::size_t place = 0; place < 4; ++place) {
        const BlockInfo& info = ours.disks()[place]->info();
        EXPECT_EQ((Shown{info.model, info.serial, info.firmware, info.capacity}), kernels[place]);
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(GuestIde, TheKernelReadsWhatWeWroteBeyond128Gibibytes) {
    const std::array<std::uint64_t, 3> places{128 * gibibyte - 4096, 150 * gibibyte, 200 * gibibyte - 8192};
    {
        OurIde ours;
        ours.open("ide1");
        for (const std::uint64_t place : places) {
            const DmaSpan data = ours.memory(0, 8192);
            for (std::uint64_t i = 0; i < 16; ++i)
                fill_block(data.bytes().subspan(i * 512, 512), place / 512 + i, 9);
            ASSERT_EQ(ours.run(BlockOperation::write, place, data), BlockStatus::ok);
        }
    }
    Kernels kernels("ide1");
    const Page page(8192);
    for (const std::uint64_t place : places) {
        kernels.read(place, page.bytes());
        for (std::uint64_t i = 0; i < 16; ++i)
            EXPECT_TRUE(block_is(page.bytes().subspan(i * 512, 512), place / 512 + i, 9)) << place / 512 + i;
    }
}

}  // namespace

std::shared_ptr<test::Ours> open_ours(unsigned number) {
    auto ours = std::make_shared<OurIde>();
    ours->open(number == 0 ? "ide0" : "ide2");
    return ours;
}

test::KernelDisk open_kernels(unsigned number) {
    return Kernels(number == 0 ? "ide0" : "ide2");
}

}  // namespace guest

std::unique_ptr<test::IdePlace> test::make_ide_place() {
    return std::make_unique<guest::LabIde>();
}

}  // namespace outboard
