// What many devices cost a process: opens each device that it is given, drives it and reads a block of it.
// Prints how long that took and how much memory the process then has, as one JSON document, and stays until
// its standard input ends, so that bench/scale can look at many such processes together.
//
// usage: many_devices DEVICE...     as `outboard bench` names them
#include "outboard/base/error.hpp"
#include "outboard/classes/block_io.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/runtime/clock.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace outboard {
namespace {

constexpr std::size_t read_bytes = 4096;

/// A line of this process's status, in KiB: "VmRSS", "RssAnon", "RssShmem".
std::uint64_t status_kib(std::string_view name) {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(name) && line[name.size()] == ':')
            return std::stoull(line.substr(name.size() + 1));
    return 0;
}

Task<BlockStatus> read_once(BlockIo& io, const DmaSpan& data) {
    const BlockStatus status = co_await io.read(0, data);
    co_return status;
}

void open(RunLoop& loop, const char* name, std::vector<std::unique_ptr<DeviceHost>>& hosts) {
    DeviceHostOptions options{.device = DeviceName::parse(name), .driver = {}};
    options.arena_bytes = read_bytes;
    hosts.push_back(loop.run(DeviceHost::open(loop, std::move(options))));
    BlockDevice& disk = hosts.back()->disk(0);
    const DmaBuffer buffer = disk.arena().allocate(read_bytes, read_bytes);
    BlockIo io(disk, loop);
    if (const BlockStatus status = loop.run(read_once(io, buffer.span())); status != BlockStatus::ok)
        throw Error({.kind = ErrorKind::io,
                     .action = "read from",
                     .subject = name,
                     .cause = to_string(status),
                     .remedy = {}});
}

int run(std::span<char*> names) {
    const std::uint64_t before = status_kib("VmRSS");
    const TimePoint start = Clock::now();
    RunLoop loop;
    std::vector<std::unique_ptr<DeviceHost>> hosts;
    for (const char* const name : names)
        open(loop, name, hosts);
    const std::chrono::duration<double, std::milli> took = Clock::now() - start;
    const nlohmann::json document{
        {"devices", hosts.size()},
        {"start_ms", took.count()},
        {"resident_kib", status_kib("VmRSS")},
        {"resident_before_kib", before},
        {"anonymous_kib", status_kib("RssAnon")},
        {"dma_kib", status_kib("RssShmem")},
    };
    fmt::print("{}\n", document.dump());
    std::fflush(stdout);
    char none = 0;
    while (::read(STDIN_FILENO, &none, 1) > 0)
        continue;
    for (const auto& host : hosts)
        loop.run(host->close(true));
    return 0;
}

}  // namespace
}  // namespace outboard

int main(int argc, char** argv) {
    try {
        return outboard::run(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
    } catch (const outboard::Error& error) {
        fmt::print(stderr, "many_devices: {}\n", error.what());
        return error.exit_status();
    }
}
