// The virtio-blk driver on QEMU's device: its suite, and beside the kernel's own driver on the same disk.
#include "guest_virtio_blk.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/disk_load.hpp"
#include "tests/support/kernel_disk.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace guest {
namespace {

using test::block_is;
using test::fill_block;
using test::Ours;
using test::Page;
using test::VerifyingLoad;

constexpr std::uint64_t mebibyte = 1U << 20;

/// The device: the lab's first one, or what GUEST_VIRTIO_BLK names.
const PciAddress& address() {
    static const PciAddress address = [] {
        const char* const name = std::getenv("GUEST_VIRTIO_BLK");
        return PciAddress::parse(name != nullptr ? name : "0000:01:00.0");
    }();
    return address;
}

/// The disk under the kernel's driver.
class Kernels final : public test::KernelDisk {
  public:
    Kernels()
        : KernelDisk("disk of " + address().text(), [](const std::string& name, int) {
              return name.starts_with("vd") && test::is_below(name, address().text());
          }) {}
};

TEST(GuestVirtioBlk, TheKernelReadsWhatWeWrote) {
    std::optional<VerifyingLoad> load;
    std::optional<Ours> ours(std::in_place);
    const std::uint64_t capacity = ours->disk().info().capacity;
    ours->open();
    load.emplace(*ours, VerifyingLoad::Plan{.offset = 3 * mebibyte, .size = 16 * mebibyte, .depth = 32});
    load->run();
    ASSERT_EQ(ours->run(BlockOperation::flush, 0, {}), BlockStatus::ok);
    ours.reset();
    Kernels kernels;
    EXPECT_EQ(kernels.capacity(), capacity);
    const Page page(load->largest());
    for (std::uint64_t at = 0; at < load->plan().size; at += page.bytes().size()) {
        const auto part =
            page.bytes().first(std::min<std::uint64_t>(page.bytes().size(), load->plan().size - at));
        kernels.read(load->plan().offset + at, part);
        load->compare(part, at);
    }
}

TEST(GuestVirtioBlk, WeReadWhatTheKernelWrote) {
    constexpr std::uint64_t blocks = 8 * mebibyte / 512;
    constexpr std::uint64_t at_once = mebibyte / 512;
    {
        Kernels kernels;
        const Page page(mebibyte);
        for (std::uint64_t block = 0; block < blocks; block += at_once) {
            for (std::uint64_t i = 0; i < at_once; ++i)
                fill_block(page.bytes().subspan(i * 512, 512), block + i, 77);
            kernels.write(block * 512, page.bytes());
        }
    }
    Ours ours;
    ours.open();
    const std::uint64_t step = std::min<std::uint64_t>(ours.disk().info().max_transfer, 65536) / 512;
    const DmaSpan data = ours.memory(0, step * 512);
    for (std::uint64_t block = 0; block < blocks; block += step) {
        ASSERT_EQ(ours.run(BlockOperation::read, block * 512, data), BlockStatus::ok);
        for (std::uint64_t i = 0; i < step; ++i)
            ASSERT_TRUE(block_is(data.bytes().subspan(i * 512, 512), block + i, 77)) << block + i;
    }
}

}  // namespace
}  // namespace guest

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return std::make_unique<guest::LabVirtioBlk>(guest::address());
}

}  // namespace outboard
