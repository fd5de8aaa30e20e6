#include "outboard/cli/driver_options.hpp"

#include <chrono>
#include <cstdio>
#include <string_view>

#include <CLI/CLI.hpp>

namespace outboard::cli {

void add_driver_options(CLI::App& verb, DriverWords& words) {
    verb.add_option("--write-cache", words.write_cache, "Turn the disk's volatile write cache on or off")
        ->check(CLI::IsMember({"on", "off"}));
    verb.add_option("--timeout", words.timeout_seconds, "Seconds that one command of the device may take")
        ->check(CLI::Range(1, 3600));
    verb.add_flag("--no-dma", words.no_dma, "Move data without DMA where the device can");
    verb.add_flag("--poll", words.poll, "Find completions by polling even where the device has an interrupt");
}

DriverOptions driver_options(const DriverWords& words) {
    DriverOptions options;
    if (words.timeout_seconds != 0)
        options.command_timeout = std::chrono::seconds(words.timeout_seconds);
    if (!words.write_cache.empty())
        options.write_cache = words.write_cache == "on";
    options.dma = !words.no_dma;
    options.interrupts = !words.poll;
    options.report = [](std::string_view line) {
        std::fprintf(stderr, "outboard: %.*s\n", static_cast<int>(line.size()), line.data());
    };
    return options;
}

}  // namespace outboard::cli
