// What the IDE tests inside a lab machine add to the suites: the controller given by the kernel and back, and
// the same disks under the kernel's driver.
#pragma once

#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/base/fd.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "tests/drivers/ide/ide_load.hpp"
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/hdreg.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace outboard::guest {

/// The controller: the lab's PIIX3, or what GUEST_IDE names.
inline const PciAddress controller = [] {
    const char* const name = std::getenv("GUEST_IDE");
    return PciAddress::parse(name != nullptr ? name : "0000:00:04.0");
}();

/// Takes the controller from the kernel and gives it back when it goes. IOMMU faults meanwhile are
/// complaints: an IDE controller does not report them.
class LabIde final : public test::IdePlace {
  public:
    LabIde() { Binder().bind(controller); }
    LabIde(const LabIde&) = delete;
    LabIde& operator=(const LabIde&) = delete;
    LabIde(LabIde&&) = delete;
    LabIde& operator=(LabIde&&) = delete;
    ~LabIde() override { Binder().restore(controller); }

    std::unique_ptr<Device> open() override { return Device::open(controller.text()); }
    std::string complaints() override {
        return faults_.take(controller).empty() ? "" : "the IOMMU blocked DMA of the controller";
    }
    std::chrono::milliseconds load_time() const override { return std::chrono::seconds(3); }
    std::size_t largest_pio() const override { return std::size_t{64} << 10; }
    /// QEMU answers every error of its disk image with ABRT, which blames the device, not the medium.
    BlockStatus bad_status() const override { return BlockStatus::device_error; }
    std::string bad_words() const override { return "the device aborted the command (ABRT)"; }

  private:
    IommuFaultWatch faults_;
};

/// The same disk under the kernel's driver.
class Kernels {
  public:
    /// Waits until the kernel has the disk with this serial number.
    explicit Kernels(std::string_view serial) {
        for (int tries = 0; tries < 200; ++tries) {
            for (const auto& entry : std::filesystem::directory_iterator("/sys/block")) {
                if (entry.path().filename().string().starts_with("sd") &&
                    try_open(entry.path().filename(), serial))
                    return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        }
        throw std::runtime_error(fmt::format("the kernel shows no disk with the serial number {}", serial));
    }

    std::string model() const { return text(identity_.model, sizeof identity_.model); }
    std::string serial() const { return text(identity_.serial_no, sizeof identity_.serial_no); }
    std::string firmware() const { return text(identity_.fw_rev, sizeof identity_.fw_rev); }
    std::uint64_t capacity() const { return static_cast<std::uint64_t>(::lseek(fd_.get(), 0, SEEK_END)); }

    void read(std::uint64_t offset, std::span<std::byte> data) {
        ASSERT_EQ(::pread(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset)),
                  static_cast<ssize_t>(data.size()))
            << std::strerror(errno);
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) {
        ASSERT_EQ(::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset)),
                  static_cast<ssize_t>(data.size()))
            << std::strerror(errno);
        ASSERT_EQ(::fsync(fd_.get()), 0);
    }

  private:
    static std::string text(const unsigned char* characters, std::size_t size) {
        std::string result(reinterpret_cast<const char*>(characters), size);
        result.erase(result.find_last_not_of(' ') + 1);
        result.erase(0, result.find_first_not_of(' '));
        return result;
    }
    bool try_open(const std::string& name, std::string_view serial_number) {
        fd_ = Fd(::open(("/dev/" + name).c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
        if (!fd_ || ::ioctl(fd_.get(), HDIO_GET_IDENTITY, &identity_) != 0 || serial() != serial_number) {
            fd_.reset();
            return false;
        }
        return true;
    }

    Fd fd_;
    hd_driveid identity_{};
};

/// Memory for O_DIRECT.
class Page {
  public:
    explicit Page(std::size_t size)
        : bytes_(static_cast<std::byte*>(std::aligned_alloc(4096, size)), &std::free), size_(size) {}
    std::span<std::byte> bytes() const { return {bytes_.get(), size_}; }

  private:
    std::unique_ptr<std::byte, decltype(&std::free)> bytes_;
    std::size_t size_;
};

}  // namespace outboard::guest
