// What one of the two drivers writes the other reads.
#include "beside_the_kernel.hpp"

#include <algorithm>
#include <optional>

#include <gtest/gtest.h>

namespace outboard::guest {
namespace {

using test::block_is;
using test::fill_block;
using test::KernelDisk;
using test::Page;
using test::VerifyingLoad;

constexpr std::uint64_t mebibyte = 1U << 20;

TEST(BesideTheKernel, TheKernelReadsWhatWeWrote) {
    std::optional<VerifyingLoad> load;
    auto ours = open_ours(0);
    const std::uint64_t capacity = ours->info().capacity;
    load.emplace(*ours, VerifyingLoad::Plan{.offset = 3 * mebibyte, .size = 16 * mebibyte, .depth = 32});
    load->run();
    ASSERT_EQ(ours->run(BlockOperation::flush, 0, {}), BlockStatus::ok);
    ours.reset();
    KernelDisk kernels = open_kernels(0);
    EXPECT_EQ(kernels.capacity(), capacity);
    const Page page(load->largest());
    for (std::uint64_t at = 0; at < load->plan().size; at += page.bytes().size()) {
        const auto part =
            page.bytes().first(std::min<std::uint64_t>(page.bytes().size(), load->plan().size - at));
        kernels.read(load->plan().offset + at, part);
        load->compare(part, at);
    }
}

TEST(BesideTheKernel, WeReadWhatTheKernelWrote) {
    constexpr std::uint64_t blocks = 8 * mebibyte / 512;
    constexpr std::uint64_t at_once = mebibyte / 512;
    {
        KernelDisk kernels = open_kernels(1);
        const Page page(mebibyte);
        for (std::uint64_t block = 0; block < blocks; block += at_once) {
            for (std::uint64_t i = 0; i < at_once; ++i)
                fill_block(page.bytes().subspan(i * 512, 512), block + i, 77);
            kernels.write(block * 512, page.bytes());
        }
    }
    const auto ours = open_ours(1);
    const std::uint64_t step = std::min<std::uint64_t>(ours->info().max_transfer, 51200) / 512;
    const DmaSpan data = ours->memory(0, step * 512);
    for (std::uint64_t block = 0; block < blocks; block += step) {
        const DmaSpan part = data.part(0, std::min(step, blocks - block) * 512);
        ASSERT_EQ(ours->run(BlockOperation::read, block * 512, part), BlockStatus::ok);
        for (std::uint64_t i = 0; i < part.length / 512; ++i)
            ASSERT_TRUE(block_is(part.bytes().subspan(i * 512, 512), block + i, 77)) << block + i;
    }
}

}  // namespace
}  // namespace outboard::guest
