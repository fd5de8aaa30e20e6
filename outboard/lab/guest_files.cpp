#include "outboard/lab/guest_files.hpp"

#include "outboard/base/file.hpp"
#include "outboard/lab/channel.hpp"
#include "outboard/lab/process.hpp"

#include <cstdlib>
#include <fstream>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

// "SRC[:DEST]", where DEST is absolute or missing.
std::pair<std::string, std::string> source_and_target(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos)
        return {text, {}};
    return {text.substr(0, colon), text.substr(colon + 1)};
}

std::vector<std::string> command_words(const LabOptions& options) {
    if (!options.script.empty()) {
        std::vector<std::string> words{"/tmp/" + fs::path(options.script).filename().string()};
        words.insert(words.end(), options.command.begin(), options.command.end());
        return words;
    }
    if (options.command.empty())
        return {"/bin/bash"};
    if (options.command.size() == 1)
        return {"/bin/sh", "-c", options.command.front()};
    return options.command;
}

}  // namespace

FileSet run_files(const LabOptions& options, const Devices& devices, bool terminal) {
    FileSet files;
    for (const std::string& file : options.files) {
        auto [source, target] = source_and_target(file);
        if (target.empty())
            target = "/tmp/" + fs::path(source).filename().string();
        files.add_tree(target, source);
    }
    for (const std::string& program : options.programs) {
        const fs::path found = find_program(program);
        files.add_program("/usr/bin/" + fs::path(program).filename().string(),
                          found.empty() ? fs::path(program) : found);
    }
    if (!options.script.empty())
        files.add_text("/tmp/" + fs::path(options.script).filename().string(),
                       read_text(options.script) + "\n", 0755);
    std::string placed;
    for (const auto& [name, address] : devices.addresses)
        placed += fmt::format("{}{}={}", placed.empty() ? "" : " ", name, address);
    nlohmann::json environment{{"OUTBOARD_LAB_DEVICES", placed}};
    if (const char* term = std::getenv("TERM"); terminal && term != nullptr)
        environment["TERM"] = term;
    std::vector<std::string> modules{"vfio_pci", "vfio_iommu_type1", "ublk_drv"};
    modules.insert(modules.end(), options.modules.extra.begin(), options.modules.extra.end());
    std::vector<std::string> get;
    get.reserve(options.get.size());
    for (const std::string& file : options.get)
        get.push_back(source_and_target(file).first);
    std::string debug = options.gdb_attach;
    if (debug.empty() && options.gdb_port)
        debug = "start";
    files.add_text(request_path, nlohmann::json{{"argv", command_words(options)},
                                                {"environment", environment},
                                                {"modules", modules},
                                                {"get", get},
                                                {"unprivileged", options.unprivileged},
                                                {"terminal", terminal},
                                                {"debug", debug}}
                                     .dump());
    return files;
}

std::string unpack_file(const LabOptions& options, const std::string& guest_path, const std::string& archive,
                        const fs::path& scratch) {
    fs::path target;
    for (const std::string& file : options.get)
        if (const auto [path, wanted] = source_and_target(file); path == guest_path)
            target = wanted;
    if (target.empty())
        target = fs::path(guest_path).filename();
    if (fs::is_directory(target))
        target /= fs::path(guest_path).filename();
    const fs::path tar = scratch / "get.tar";
    std::ofstream(tar, std::ios::binary) << archive;
    const fs::path unpacked = scratch / "get";
    fs::create_directories(unpacked);
    run_command({.argv = {"tar", "--extract", "--no-same-owner", "--file", tar.string(), "--directory",
                          unpacked.string()},
                 .environment = {},
                 .directory = {}},
                "unpack", guest_path);
    fs::copy(
        unpacked / fs::path(guest_path).relative_path(), target,
        fs::copy_options::recursive | fs::copy_options::overwrite_existing | fs::copy_options::copy_symlinks);
    fs::remove_all(unpacked);
    fs::remove(tar);
    return target.string();
}

}  // namespace outboard::lab
