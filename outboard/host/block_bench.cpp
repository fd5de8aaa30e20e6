#include "outboard/host/block_bench.hpp"

#include "outboard/base/error.hpp"
#include "outboard/host/bench_load.hpp"

#include <string>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

[[noreturn]] void refuse(const BlockInfo& info, std::string cause) {
    throw Error({.kind = ErrorKind::usage,
                 .action = "measure",
                 .subject = info.model,
                 .cause = std::move(cause),
                 .remedy = {}});
}

}  // namespace

std::uint64_t bench_blocks(const BlockInfo& info, const BlockBenchOptions& options) {
    if (info.read_only && options.read_percent < 100)
        refuse(info, "it is read-only, and the load writes");
    if (options.io_size == 0 || options.io_size % info.block_size != 0)
        refuse(info, fmt::format("{} bytes are not a whole number of its blocks of {}", options.io_size,
                                 info.block_size));
    if (options.io_size > info.max_transfer)
        refuse(info, fmt::format("it transfers at most {} bytes at once", info.max_transfer));
    if (options.offset % info.block_size != 0 || options.offset > info.capacity)
        refuse(info, fmt::format("offset {} is not the start of one of its blocks", options.offset));
    const std::uint64_t room = info.capacity - options.offset;
    const std::uint64_t size = options.size == 0 ? room : options.size;
    if (size > room)
        refuse(info,
               fmt::format("{} bytes from {} go beyond its end at {}", size, options.offset, info.capacity));
    const std::uint64_t blocks = size / options.io_size;
    if (blocks == 0)
        refuse(info, fmt::format("the range of {} bytes is smaller than one request", size));
    return blocks;
}

std::size_t block_bench_arena_bytes(const BlockBenchOptions& options) noexcept {
    constexpr std::size_t page_bytes = 4096;
    return (options.io_size + page_bytes - 1) / page_bytes * page_bytes * options.depth;
}

std::unique_ptr<BlockBenchResult> run_block_bench(RunLoop& loop, BlockDevice& disk,
                                                  const BlockBenchOptions& options,
                                                  const std::function<void(double)>& progress) {
    BenchLoad load(loop, disk, options, bench_blocks(disk.info(), options));
    return load.run(progress);
}

}  // namespace outboard
