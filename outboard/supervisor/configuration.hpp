// The configuration of outboardd: TOML files, read once at the start. docs/supervisor.md describes them.
#pragma once

#include "outboard/supervisor/device_settings.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace outboard {

struct Configuration {
    std::vector<DeviceSettings> devices;
    /// What was wrong, a text each with file, line and key. What it is about was left out, the rest counts.
    std::vector<std::string> problems;
};

/// Adds what one file says to `configuration`; `source` is what problems call it.
void parse_configuration(std::string_view text, const std::string& source, Configuration& configuration);

/// Reads a file, or all *.toml of a folder in the order of their names; one that is not there is an empty
/// configuration.
Configuration read_configuration(const std::filesystem::path& path);

}  // namespace outboard
