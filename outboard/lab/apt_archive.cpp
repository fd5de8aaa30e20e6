#include "outboard/lab/apt_archive.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/lab/layout.hpp"
#include "outboard/lab/process.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);)
        parts.push_back(part);
    return parts;
}

std::string trimmed(const std::string& text) {
    const std::size_t first = text.find_first_not_of(" \t");
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The Signed-By of a sources file that names `uri`: deb822 style "Signed-By: PATH" or one-line
// "[signed-by=PATH]".
std::string signed_by(const std::string& sources_entry) {
    std::ifstream file(sources_entry.substr(0, sources_entry.rfind(':')));
    for (std::string line; std::getline(file, line);) {
        std::string lower = line;
        std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
        const std::size_t at = lower.find("signed-by");
        if (at == std::string::npos || lower.starts_with('#'))
            continue;
        const std::size_t path = line.find('/', at);
        if (path != std::string::npos)
            return line.substr(path, line.find_first_of(" ]\t", path) - path);
    }
    return {};
}

void write_file(const fs::path& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    file.close();
    if (!file)
        throw_errno(errno, "write", path.string());
}

// Without the colon of an epoch, which would divide a list of library directories.
std::string directory_name(const PackageVersion& package) {
    std::string name = fmt::format("{}_{}", package.name, package.version);
    std::ranges::replace(name, ':', '_');
    return name;
}

const std::vector<std::string>& source_releases() {
    static const std::vector<std::string> releases{"bookworm", "trixie",  "oldstable",
                                                   "stable",   "testing", "sid"};
    return releases;
}

}  // namespace

const std::vector<std::string>& AptArchive::suites() {
    static const std::vector<std::string> list{"bookworm", "bookworm-backports", "trixie",
                                               "trixie-backports"};
    return list;
}

DebianSource choose_debian_source(const std::string& index_targets) {
    DebianSource found;
    for (const std::string& line : split(index_targets, '\n')) {
        const std::vector<std::string> fields = split(line, '|');
        if (fields.size() != 5 || fields[2] != "main" || !std::ranges::count(source_releases(), fields[1]))
            continue;
        // Without lists apt does not know the origin yet; it then leaves the placeholder.
        const bool debian = fields[0] == "Debian";
        if (debian || found.uri.empty())
            found = {.uri = fields[3], .keyring = signed_by(fields[4])};
        if (debian)
            break;
    }
    return found;
}

AptArchive::AptArchive(fs::path directory) : directory_(std::move(directory)) {}

void AptArchive::configure() {
    if (configured_)
        return;
    const std::string targets = run_command(
        {.argv = {"apt-get", "indextargets", "--format",
                  "$(ORIGIN)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)", "Created-By: Packages"},
         .environment = {},
         .directory = {}},
        "read", "the machine's apt configuration");
    const DebianSource source = choose_debian_source(targets);
    if (source.uri.empty())
        throw Error({.kind = ErrorKind::not_found,
                     .action = "fetch",
                     .subject = "Debian packages",
                     .cause = "apt on this machine has no Debian source with the component main",
                     .remedy = "add one to /etc/apt/sources.list.d (see sources.list(5))"});
    for (const char* name : {"lists/partial", "cache/archives/partial", "empty", "packages"})
        fs::create_directories(directory_ / name);
    std::string sources;
    const std::string option = source.keyring.empty() ? "" : fmt::format("[signed-by={}] ", source.keyring);
    for (const std::string& suite : suites())
        sources += fmt::format("deb {0}{1} {2} main\ndeb-src {0}{1} {2} main\n", option, source.uri, suite);
    write_file(directory_ / "sources.list", sources);
    // apt locks the directory of the status file: a copy keeps it away from the machine's own lock.
    fs::copy_file("/var/lib/dpkg/status", directory_ / "status", fs::copy_options::overwrite_existing);
    const std::string root = directory_.string();
    write_file(directory_ / "apt.conf", fmt::format("Dir::Etc::SourceList \"{0}/sources.list\";\n"
                                                    "Dir::Etc::SourceParts \"{0}/empty\";\n"
                                                    "Dir::Etc::Preferences \"{0}/no-preferences\";\n"
                                                    "Dir::Etc::PreferencesParts \"{0}/empty\";\n"
                                                    "Dir::State \"{0}\";\n"
                                                    "Dir::State::Lists \"{0}/lists\";\n"
                                                    "Dir::State::Status \"{0}/status\";\n"
                                                    "Dir::Cache \"{0}/cache\";\n"
                                                    "Dir::Log \"{0}/log\";\n"
                                                    "APT::Architecture \"amd64\";\n"
                                                    "APT::Architectures {{ \"amd64\"; }};\n"
                                                    "APT::Sandbox::User \"\";\n"
                                                    "Acquire::Languages \"none\";\n",
                                                    root));
    configured_ = true;
}

std::string AptArchive::run(std::vector<std::string> argv, const std::string& action,
                            const std::string& subject, const fs::path& working_directory) const {
    return run_command({.argv = std::move(argv),
                        .environment = {"APT_CONFIG=" + (directory_ / "apt.conf").string(), "LC_ALL=C"},
                        .directory = working_directory},
                       action, subject);
}

void AptArchive::update() {
    if (updated_)
        return;
    progress("fetching package lists");
    run({"apt-get", "-qq", "update", "--error-on=any"}, "fetch", "the package lists");
    write_file(directory_ / "updated", "");
    updated_ = true;
}

bool AptArchive::lists_are_older_than_a_day() const {
    std::error_code error;
    const auto time = fs::last_write_time(directory_ / "updated", error);
    return error || fs::file_time_type::clock::now() - time > std::chrono::hours(24);
}

std::vector<PackageVersion> AptArchive::find(const std::string& name_pattern) {
    configure();
    if (!fs::exists(directory_ / "updated"))
        update();
    std::vector<std::string> command{"apt-cache", "madison"};
    for (const std::string& line :
         split(run({"apt-cache", "search", "--names-only", name_pattern}, "find", name_pattern), '\n'))
        command.push_back(line.substr(0, line.find(' ')));
    if (command.size() == 2) {
        if (!lists_are_older_than_a_day())
            return {};
        update();
        return find(name_pattern);
    }
    // "NAME | VERSION | URI SUITE/main amd64 Packages"
    std::vector<PackageVersion> found;
    for (const std::string& line : split(run(command, "find", name_pattern), '\n')) {
        const std::vector<std::string> fields = split(line, '|');
        if (fields.size() != 3 || fields[2].find(" Packages") == std::string::npos)
            continue;
        const std::vector<std::string> words = split(trimmed(fields[2]), ' ');
        if (words.size() >= 2)
            found.push_back({.name = trimmed(fields[0]),
                             .version = trimmed(fields[1]),
                             .suite = words[1].substr(0, words[1].find('/'))});
    }
    return found;
}

fs::path AptArchive::unpack(const PackageVersion& package) {
    configure();
    fs::path target = directory_ / "packages" / directory_name(package);
    build_once(target, [&](const fs::path& temporary) {
        progress(fmt::format("fetching {} {} from {}", package.name, package.version, package.suite));
        fs::path download = temporary;
        download += ".deb";
        fs::remove_all(download);
        fs::create_directories(download);
        const std::vector<std::string> command{"apt-get", "-qq", "download",
                                               fmt::format("{}={}", package.name, package.version)};
        try {
            run(command, "fetch", package.name, download);
        } catch (const Error&) {
            // The mirror may have dropped this version since the lists were fetched.
            if (!lists_are_older_than_a_day())
                throw;
            update();
            run(command, "fetch", package.name, download);
        }
        for (const auto& entry : fs::directory_iterator(download))
            run({"dpkg-deb", "-x", entry.path().string(), temporary.string()}, "unpack", package.name);
        fs::remove_all(download);
    });
    return target;
}

PackageVersion AptArchive::version_in(const std::string& name, const std::string& suite) {
    const std::vector<PackageVersion> found = find("^" + name + "$");
    const auto package = std::ranges::find_if(
        found, [&](const PackageVersion& one) { return one.name == name && one.suite == suite; });
    if (package == found.end())
        throw Error({.kind = ErrorKind::not_found,
                     .action = "fetch",
                     .subject = name,
                     .cause = fmt::format("the suite {} has no such package", suite),
                     .remedy = fmt::format("choose one of {}", fmt::join(suites(), ", "))});
    return *package;
}

fs::path AptArchive::unpack(const std::string& name, const std::string& suite) {
    return unpack(version_in(name, suite));
}

fs::path AptArchive::unpack_with_dependencies(const std::string& name, const std::string& suite) {
    const PackageVersion package = version_in(name, suite);
    fs::path target = directory_ / "packages" / (directory_name(package) + "+dependencies");
    build_once(target, [&](const fs::path& temporary) {
        progress(fmt::format("fetching {} {} from {} with what it needs", name, package.version, suite));
        const fs::path archives = directory_ / "cache" / "archives";
        const auto for_each_package = [&](const auto& action) {
            for (const auto& entry : fs::directory_iterator(archives))
                if (entry.path().extension() == ".deb")
                    action(entry.path());
        };
        for_each_package([](const fs::path& left_over) { fs::remove(left_over); });
        run({"apt-get", "-qq", "-y", "--no-install-recommends", "--download-only", "-t", suite, "install",
             fmt::format("{}={}", name, package.version)},
            "fetch", name);
        for_each_package([&](const fs::path& one) {
            run({"dpkg-deb", "-x", one.string(), temporary.string()}, "unpack", name);
            fs::remove(one);
        });
    });
    return target;
}

void AptArchive::unpack_source(const std::string& name, const std::string& suite, const fs::path& target) {
    configure();
    if (!fs::exists(directory_ / "updated"))
        update();
    fs::path download = target;
    download += ".source";
    fs::remove_all(download);
    fs::create_directories(download);
    run({"apt-get", "-qq", "--download-only", "-t", suite, "source", fmt::format("{}/{}", name, suite)},
        "fetch", "the source of " + name, download);
    fs::create_directories(target);
    for (const auto& entry : fs::directory_iterator(download))
        if (const std::string file = entry.path().filename().string();
            file.find(".orig.tar.") != std::string::npos && !file.ends_with(".asc"))
            run({"tar", "--extract", "--strip-components=1", "--file", entry.path().string(), "--directory",
                 target.string()},
                "unpack", entry.path().filename().string());
    fs::remove_all(download);
}

}  // namespace outboard::lab
