// The AHCI driver on QEMU's ICH9: its suite, and beside the kernel's own driver on the same disks.
#include "guest_ahci.hpp"

#include <algorithm>
#include <optional>

#include <gtest/gtest.h>

namespace outboard {
namespace guest {
namespace {

using test::block_is;
using test::fill_block;
using test::OurAhci;
using test::Page;
using test::VerifyingLoad;

constexpr std::uint64_t mebibyte = 1U << 20;

TEST(GuestAhci, TheKernelReadsWhatWeWrote) {
    std::optional<VerifyingLoad> load;
    std::optional<OurAhci> ours(std::in_place);
    const std::uint64_t capacity = ours->disk("ahci0").info().capacity;
    ours->open("ahci0");
    load.emplace(*ours, VerifyingLoad::Plan{.offset = 3 * mebibyte, .size = 16 * mebibyte, .depth = 32});
    load->run();
    ASSERT_EQ(ours->run(BlockOperation::flush, 0, {}), BlockStatus::ok);
    ours.reset();
    Kernels kernels("ahci0");
    EXPECT_EQ(kernels.capacity(), capacity);
    const Page page(load->largest());
    for (std::uint64_t at = 0; at < load->plan().size; at += page.bytes().size()) {
        kernels.read(load->plan().offset + at, page.bytes());
        load->compare(page.bytes(), at);
    }
}

TEST(GuestAhci, WeReadWhatTheKernelWrote) {
    constexpr std::uint64_t blocks = 8 * mebibyte / 512;
    constexpr std::uint64_t at_once = mebibyte / 512;
    {
        Kernels kernels("ahci2");
        const Page page(mebibyte);
        for (std::uint64_t block = 0; block < blocks; block += at_once) {
            for (std::uint64_t i = 0; i < at_once; ++i)
                fill_block(page.bytes().subspan(i * 512, 512), block + i, 77);
            kernels.write(block * 512, page.bytes());
        }
    }
    OurAhci ours;
    ours.open("ahci2");
    const DmaSpan data = ours.memory(0, std::size_t{100} * 512);
    for (std::uint64_t block = 0; block < blocks; block += 100) {
        const DmaSpan part = data.part(0, std::min<std::uint64_t>(100, blocks - block) * 512);
        ASSERT_EQ(ours.run(BlockOperation::read, block * 512, part), BlockStatus::ok);
        for (std::uint64_t i = 0; i < part.length / 512; ++i)
            ASSERT_TRUE(block_is(part.bytes().subspan(i * 512, 512), block + i, 77)) << block + i;
    }
}

}  // namespace
}  // namespace guest

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return make_ahci_place();
}

std::unique_ptr<test::AhciPlace> test::make_ahci_place() {
    return std::make_unique<guest::LabAhci>();
}

}  // namespace outboard
