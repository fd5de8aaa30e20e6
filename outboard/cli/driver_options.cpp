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
    verb.add_option("--completion", words.completion,
                    "How ends of requests are found: by interrupts when quiet and looking while busy, by "
                    "interrupts only, or by looking only")
        ->check(CLI::IsMember({"adaptive", "interrupt", "poll"}))
        ->capture_default_str();
}

DriverOptions driver_options(const DriverWords& words) {
    DriverOptions options;
    if (words.timeout_seconds != 0)
        options.command_timeout = std::chrono::seconds(words.timeout_seconds);
    if (!words.write_cache.empty())
        options.write_cache = words.write_cache == "on";
    options.dma = !words.no_dma;
    options.completion = words.completion == "poll"        ? CompletionMode::poll
                         : words.completion == "interrupt" ? CompletionMode::interrupt
                                                           : CompletionMode::adaptive;
    options.report = [](std::string_view line) {
        std::fprintf(stderr, "outboard: %.*s\n", static_cast<int>(line.size()), line.data());
    };
    return options;
}

}  // namespace outboard::cli
