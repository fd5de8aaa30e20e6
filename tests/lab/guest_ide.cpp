// The IDE driver on QEMU's PIIX3: its suite, and beside the kernel's own driver on the same disks. The
// machine has four disks on it, with the serial numbers ide0 … ide3 in the four places; ide1 has 200 GiB.
#include "guest_ide.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include <gmock/gmock.h>

namespace outboard {
namespace guest {
namespace {

using test::block_is;
using test::fill_block;
using test::OurIde;
using test::Page;
using test::VerifyingLoad;
using ::testing::IsEmpty;

constexpr std::uint64_t mebibyte = 1U << 20;
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

TEST(GuestIde, TheKernelReadsWhatWeWrote) {
    std::optional<VerifyingLoad> load;
    std::optional<OurIde> ours(std::in_place);
    ours->open("ide0");
    load.emplace(*ours, VerifyingLoad::Plan{
                            .offset = 3 * mebibyte, .size = 16 * mebibyte, .largest = mebibyte, .depth = 16});
    load->run();
    ASSERT_EQ(ours->run(BlockOperation::flush, 0, {}), BlockStatus::ok);
    ours.reset();
    Kernels kernels("ide0");
    const Page page(load->largest());
    for (std::uint64_t at = 0; at < load->plan().size; at += page.bytes().size()) {
        kernels.read(load->plan().offset + at, page.bytes());
        load->compare(page.bytes(), at);
    }
}

TEST(GuestIde, WeReadWhatTheKernelWrote) {
    constexpr std::uint64_t sectors = 8 * mebibyte / 512;
    {
        Kernels kernels("ide2");
        const Page page(mebibyte);
        for (std::uint64_t sector = 0; sector < sectors; sector += mebibyte / 512) {
            for (std::uint64_t i = 0; i < mebibyte / 512; ++i)
                fill_block(page.bytes().subspan(i * 512, 512), sector + i, 77);
            kernels.write(sector * 512, page.bytes());
        }
    }
    OurIde ours;
    ours.open("ide2");
    const DmaSpan data = ours.memory(0, std::size_t{100} * 512);
    for (std::uint64_t sector = 0; sector < sectors; sector += 100) {
        const DmaSpan part = data.part(0, std::min<std::uint64_t>(100, sectors - sector) * 512);
        ASSERT_EQ(ours.run(BlockOperation::read, sector * 512, part), BlockStatus::ok);
        for (std::uint64_t i = 0; i < part.length / 512; ++i)
            ASSERT_TRUE(block_is(part.bytes().subspan(i * 512, 512), sector + i, 77)) << sector + i;
    }
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
}  // namespace guest

std::unique_ptr<test::IdePlace> test::make_ide_place() {
    return std::make_unique<guest::LabIde>();
}

}  // namespace outboard
