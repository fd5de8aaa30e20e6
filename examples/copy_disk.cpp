// Copies a disk to a file: coroutines, each with memory that the disk writes into and the file is written
// from.
#include <algorithm>
#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <liburing.h>
#include <outboard/base/error.hpp>
#include <outboard/classes/block_io.hpp>
#include <outboard/host/device_host.hpp>
#include <outboard/runtime/all.hpp>

using namespace outboard;

constexpr unsigned workers = 16;
constexpr std::size_t most = std::size_t{512} << 10;

Task<void> copy(RunLoop& loop, BlockIo& disk, int file, std::uint64_t& next, DmaSpan memory) {
    const BlockInfo& info = disk.device().info();
    while (next < info.capacity) {
        const std::uint64_t offset = next;
        const DmaSpan data = memory.part(0, std::min<std::uint64_t>(memory.length, info.capacity - offset));
        next += data.length;
        const BlockStatus status = co_await disk.read(offset, data);
        if (status != BlockStatus::ok)
            throw std::runtime_error("cannot read at " + std::to_string(offset) + ": " + to_string(status));
        const int written = co_await loop.submit([&](io_uring_sqe* entry) {
            io_uring_prep_write(entry, file, data.address, static_cast<unsigned>(data.length), offset);
        });
        if (written != static_cast<int>(data.length))
            throw_errno(written < 0 ? -written : ENOSPC, "write", "the file");
    }
}

Task<void> copy_all(RunLoop& loop, BlockDevice& device, int file) {
    BlockIo disk(device, loop);
    const DmaPool memory(device.arena(), std::min<std::size_t>(most, device.info().max_transfer), workers,
                         4096);
    std::uint64_t next = 0;
    std::vector<Task<void>> copies;
    for (unsigned i = 0; i < workers; ++i)
        copies.push_back(copy(loop, disk, file, next, memory[i]));
    Task<void> copying = all(loop, std::move(copies));
    co_await std::move(copying);
}

int main(int argc, char** argv) try {
    if (argc != 3)
        return std::fprintf(stderr, "usage: copy_disk DEVICE FILE\n"), 2;
    const Fd file(::open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file)
        throw_errno(errno, "open", argv[2]);
    RunLoop loop;
    const auto host = loop.run(DeviceHost::open(loop, {DeviceName::parse(argv[1]), {}, workers * most}));
    loop.run(copy_all(loop, host->disk(0), file.get()));
    loop.run(host->close(host->bound_here()));
} catch (const std::exception& error) {
    return std::fprintf(stderr, "copy_disk: %s\n", error.what()), 1;
}
