// A disk under the kernel's own driver, the oracle of the tests that run inside a lab machine.
#pragma once

#include "outboard/base/fd.hpp"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace outboard::test {

/// A block device of the kernel, opened past its page cache. What fails is a failure of the test.
class KernelDisk {
  public:
    using Accept = std::function<bool(const std::string& name, int descriptor)>;

    /// Waits until the kernel has a block device that `accept` takes: its name below /dev, and it opened.
    /// `what` says in an error what was waited for. Throws std::runtime_error.
    KernelDisk(std::string_view what, const Accept& accept) {
        for (int tries = 0; tries < 200; ++tries) {
            for (const auto& entry : std::filesystem::directory_iterator("/sys/block")) {
                const std::string name = entry.path().filename().string();
                fd_ = Fd(::open(("/dev/" + name).c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
                if (fd_ && accept(name, fd_.get()))
                    return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        }
        throw std::runtime_error(fmt::format("the kernel shows no {}", what));
    }

    std::uint64_t capacity() const { return static_cast<std::uint64_t>(::lseek(fd_.get(), 0, SEEK_END)); }
    /// `data` is memory for O_DIRECT.
    void read(std::uint64_t offset, std::span<std::byte> data) {
        ASSERT_EQ(::pread(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset)),
                  static_cast<ssize_t>(data.size()))
            << std::strerror(errno);
    }
    /// The same; what was written is on the medium afterwards.
    void write(std::uint64_t offset, std::span<const std::byte> data) {
        ASSERT_EQ(::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset)),
                  static_cast<ssize_t>(data.size()))
            << std::strerror(errno);
        ASSERT_EQ(::fsync(fd_.get()), 0);
    }

  private:
    Fd fd_;
};

/// True for a block device that hangs, however far, below the PCI device with this address ("0000:00:04.0").
inline bool is_below(const std::string& block_device, const std::string& address) {
    std::error_code none;
    return std::filesystem::canonical("/sys/block/" + block_device, none)
        .string()
        .contains("/" + address + "/");
}

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

}  // namespace outboard::test
