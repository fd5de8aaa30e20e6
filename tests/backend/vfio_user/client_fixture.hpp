// A client and the server that it talks to, for tests.
#pragma once

#include "outboard/backend/vfio_user/vfio_user_backend.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "tests/backend/vfio_user/odd_server.hpp"
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace outboard::vfio_user::test {

using namespace std::chrono_literals;

inline constexpr std::size_t page = 4096;

inline Bytes pattern(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
    return bytes;
}

inline Fd memory_file(std::size_t size) {
    Fd fd(::memfd_create("test", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
    return fd;
}

class VfioUserClient : public testing::Test {
  protected:
    /// Sixteen pages whose addresses are multiples of pages.
    VfioUserClient() : memory(static_cast<std::byte*>(::aligned_alloc(page, 16 * page))) {
        std::fill_n(memory.get(), 16 * page, std::byte{0});
    }

    void open(Duration limit = 20s) {
        server.start();
        device = VfioUserBackend::open(server.path(), {.reply_limit = limit, .reset_limit = limit});
    }
    std::span<std::byte> pages(std::size_t first, std::size_t count) const {
        return {memory.get() + first * page, count * page};
    }
    void map(std::uint64_t iova, std::span<std::byte> what, DmaAccess access = DmaAccess::read_write) const {
        device->map_dma({.iova = iova, .memory = what, .access = access});
    }

    struct Free {
        void operator()(std::byte* pointer) const { std::free(pointer); }
    };
    std::unique_ptr<std::byte, Free> memory;
    OddServer server;
    std::unique_ptr<VfioUserBackend> device;
};

}  // namespace outboard::vfio_user::test
