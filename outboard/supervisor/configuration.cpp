#include "outboard/supervisor/configuration.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/export/ublk/served_disk.hpp"
#include "outboard/export/ublk/uapi.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace outboard {

namespace {

/// Thrown for one entry that makes no sense.
struct Problem {
    toml::source_region where;
    std::string text;
};

[[noreturn]] void throw_problem(const toml::node& node, std::string text) {
    throw Problem{.where = node.source(), .text = std::move(text)};
}

std::int64_t integer(std::string_view key, const toml::node& node, std::int64_t least, std::int64_t most) {
    const auto value = node.value_exact<std::int64_t>();
    if (!value || *value < least || *value > most)
        throw_problem(node, fmt::format("'{}' is a whole number from {} to {}", key, least, most));
    return *value;
}

bool boolean(std::string_view key, const toml::node& node) {
    const auto value = node.value_exact<bool>();
    if (!value)
        throw_problem(node, fmt::format("'{}' is true or false", key));
    return *value;
}

std::string text(std::string_view key, const toml::node& node) {
    const auto value = node.value_exact<std::string>();
    if (!value || value->empty())
        throw_problem(node, fmt::format("'{}' is a text", key));
    return *value;
}

std::vector<unsigned> disks(std::string_view key, const toml::node& node) {
    std::vector<unsigned> numbers;
    const toml::array* const list = node.as_array();
    if (!list)
        throw_problem(node, fmt::format("'{}' is a list of numbers, such as [0, 1], or []", key));
    for (const toml::node& entry : *list) {
        const auto number = static_cast<unsigned>(integer(key, entry, 0, ublk::ServedDisk::max_disk));
        if (std::ranges::find(numbers, number) != numbers.end())
            throw_problem(entry, fmt::format("'{}' names disk {} twice", key, number));
        numbers.push_back(number);
    }
    return numbers;
}

CompletionMode completion(std::string_view key, const toml::node& node) {
    const std::string mode = text(key, node);
    if (mode == "adaptive")
        return CompletionMode::adaptive;
    if (mode == "interrupt")
        return CompletionMode::interrupt;
    if (mode == "poll")
        return CompletionMode::poll;
    throw_problem(node, fmt::format("'{}' is \"adaptive\", \"interrupt\" or \"poll\"", key));
}

DeviceName device_name(std::string_view key, const toml::node& node) {
    try {
        return DeviceName::parse(text(key, node));
    } catch (const Error& error) {
        throw_problem(node, fmt::format("'{}': {}", key, error.parts().cause));
    }
}

using Reader = std::function<void(std::string_view, const toml::node&, DeviceSettings&)>;
using Readers = std::vector<std::pair<std::string_view, Reader>>;

void read_table(const toml::table& table, const std::string& what, const Readers& readers,
                DeviceSettings& settings) {
    for (const auto& [key, node] : table) {
        const auto reader = std::ranges::find(readers, key.str(), &Readers::value_type::first);
        if (reader == readers.end()) {
            std::string known;
            for (const auto& [name, read] : readers)
                known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
            throw Problem{.where = key.source(),
                          .text = fmt::format("{} has no key '{}'; it has {}", what, key.str(), known)};
        }
        reader->second(key.str(), node, settings);
    }
}

const Readers& restart_readers() {
    using Settings = DeviceSettings;
    static const Readers readers{
        {"limit",
         [](auto key, const auto& node, Settings& settings) {
             settings.restart.limit = static_cast<unsigned>(integer(key, node, 0, 1'000'000));
         }},
        {"window_seconds",
         [](auto key, const auto& node, Settings& settings) {
             settings.restart.window = std::chrono::seconds(integer(key, node, 1, 31'536'000));
         }},
        {"backoff_ms",
         [](auto key, const auto& node, Settings& settings) {
             settings.restart.backoff = std::chrono::milliseconds(integer(key, node, 0, 30'000));
         }},
        {"hang_ms",
         [](auto key, const auto& node, Settings& settings) {
             settings.hang_limit = std::chrono::milliseconds(integer(key, node, 200, 600'000));
         }},
    };
    return readers;
}

const Readers& device_readers() {
    using Settings = DeviceSettings;
    static const Readers readers{
        {"name",
         [](auto key, const auto& node, Settings& settings) { settings.device = device_name(key, node); }},
        {"driver", [](auto key, const auto& node, Settings& settings) { settings.driver = text(key, node); }},
        {"disks", [](auto key, const auto& node, Settings& settings) { settings.disks = disks(key, node); }},
        {"queues",
         [](auto key, const auto& node, Settings& settings) {
             settings.queues = static_cast<std::uint16_t>(integer(key, node, 1, 4096));
         }},
        {"queue_depth",
         [](auto key, const auto& node, Settings& settings) {
             settings.queue_depth = static_cast<std::uint16_t>(integer(key, node, 1, ublk::max_queue_depth));
         }},
        {"batch",
         [](auto key, const auto& node, Settings& settings) { settings.batch = boolean(key, node); }},
        {"write_cache",
         [](auto key, const auto& node, Settings& settings) { settings.write_cache = boolean(key, node); }},
        {"timeout_seconds",
         [](auto key, const auto& node, Settings& settings) {
             settings.timeout_seconds = static_cast<unsigned>(integer(key, node, 1, 3600));
         }},
        {"dma", [](auto key, const auto& node, Settings& settings) { settings.dma = boolean(key, node); }},
        {"completion",
         [](auto key, const auto& node, Settings& settings) { settings.completion = completion(key, node); }},
        {"restart",
         [](auto /*key*/, const auto& node, Settings& settings) {
             const toml::table* const table = node.as_table();
             if (!table)
                 throw_problem(node, "'restart' is a table");
             read_table(*table, "restart", restart_readers(), settings);
         }},
    };
    return readers;
}

DeviceSettings read_device(const toml::node& node, const std::vector<DeviceSettings>& others) {
    const toml::table* const table = node.as_table();
    if (!table)
        throw_problem(node, "'device' is a list of tables: [[device]]");
    DeviceSettings settings;
    read_table(*table, "device", device_readers(), settings);
    if (settings.device.text().empty())
        throw_problem(node, "a device has no 'name'");
    if (std::ranges::any_of(others, [&](const DeviceSettings& other) {
            return other.device.text() == settings.device.text();
        }))
        throw_problem(node, fmt::format("'name' {} is here for the second time; the first entry counts",
                                        settings.device.text()));
    return settings;
}

}  // namespace

void parse_configuration(std::string_view source_text, const std::string& source,
                         Configuration& configuration) {
    const auto complain = [&](const toml::source_region& where, std::string_view what) {
        configuration.problems.push_back(fmt::format("{}:{}: {}", source, where.begin.line, what));
    };
    toml::table document;
    try {
        document = toml::parse(source_text, source);
    } catch (const toml::parse_error& error) {
        complain(error.source(), error.description());
        return;
    }
    for (const auto& [key, node] : document) {
        const toml::array* const list = node.as_array();
        if (key.str() != "device" || !list) {
            complain(key.source(), key.str() == "device"
                                       ? std::string("'device' is a list of tables: [[device]]")
                                       : fmt::format("there is no key '{}'; there is device", key.str()));
            continue;
        }
        for (const toml::node& entry : *list) {
            try {
                configuration.devices.push_back(read_device(entry, configuration.devices));
            } catch (const Problem& problem) {
                complain(problem.where, problem.text);
            }
        }
    }
}

Configuration read_configuration(const std::filesystem::path& path) {
    namespace fs = std::filesystem;
    std::vector<fs::path> files;
    std::error_code error;
    if (fs::is_directory(path, error)) {
        for (const auto& entry : fs::directory_iterator(path, error))
            if (entry.path().extension() == ".toml")
                files.push_back(entry.path());
        std::ranges::sort(files);
    } else if (fs::exists(path, error)) {
        files.push_back(path);
    }
    Configuration configuration;
    for (const fs::path& file : files) {
        try {
            parse_configuration(read_text(file), file.string(), configuration);
        } catch (const Error& failure) {
            configuration.problems.emplace_back(failure.what());
        }
    }
    return configuration;
}

}  // namespace outboard
