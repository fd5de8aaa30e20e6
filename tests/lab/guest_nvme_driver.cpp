// The NVMe driver on QEMU's controller: its suite, and beside the kernel's own driver on the same disk.
#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/drivers/nvme/nvme.hpp"

#include <algorithm>
#include <chrono>
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

/// The controller: the lab's first one, or what GUEST_NVME names.
const PciAddress& controller() {
    static const PciAddress address = [] {
        const char* const name = std::getenv("GUEST_NVME");
        return PciAddress::parse(name != nullptr ? name : "0000:01:00.0");
    }();
    return address;
}

/// Takes the controller from the kernel and gives it back when it goes.
class LabNvme final : public test::DiskPlace {
  public:
    const DriverDescription& driver() const override { return nvme::description; }
    LabNvme() { Binder().bind(controller()); }
    LabNvme(const LabNvme&) = delete;
    LabNvme& operator=(const LabNvme&) = delete;
    LabNvme(LabNvme&&) = delete;
    LabNvme& operator=(LabNvme&&) = delete;
    ~LabNvme() override { Binder().restore(controller()); }

    std::unique_ptr<Device> open() override { return Device::open(controller().text()); }
    std::string complaints() override {
        return faults_.take(controller()).empty() ? "" : "the IOMMU blocked DMA of the controller";
    }
    std::chrono::milliseconds load_time() const override { return std::chrono::seconds(2); }

  private:
    IommuFaultWatch faults_;
};

/// The first namespace under the kernel's driver.
class Kernels final : public test::KernelDisk {
  public:
    Kernels()
        : KernelDisk("namespace of " + controller().text(), [](const std::string& name, int) {
              return name.starts_with("nvme") && name.ends_with("n1") &&
                     test::is_below(name, controller().text());
          }) {}
};

TEST(GuestNvme, TheKernelReadsWhatWeWrote) {
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
        kernels.read(load->plan().offset + at, page.bytes());
        load->compare(page.bytes(), at);
    }
}

TEST(GuestNvme, WeReadWhatTheKernelWrote) {
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
    return std::make_unique<guest::LabNvme>();
}

}  // namespace outboard
