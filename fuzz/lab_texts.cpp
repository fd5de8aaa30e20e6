// Texts that the lab reads: devices as a user names them, what apt and depmod say, kernel images.
#include "outboard/lab/apt_archive.hpp"
#include "outboard/lab/bzimage.hpp"
#include "outboard/lab/devices.hpp"
#include "outboard/lab/kernel_choice.hpp"
#include "outboard/lab/modules.hpp"

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"

namespace outboard::fuzz {
namespace {

using namespace lab;

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

void read_devices(const std::string& text) {
    const auto devices = accepted([&] { return lay_out(lines_of(text)); }, ErrorKind::usage);
    if (devices) {
        std::set<std::string> names;
        for (const auto& [name, address] : devices->addresses)
            require(names.insert(name).second, "every device has a name of its own");
    }
    const auto size = accepted([&] { return parse_size(text); }, ErrorKind::usage);
    if (size)
        require(parse_size(std::to_string(*size)) == *size, "a size that is written out is the same size");
}

void read_kernels(const std::string& text) {
    std::vector<PackageVersion> packages;
    for (const std::string& line : lines_of(text)) {
        packages.push_back({.name = line, .version = "1", .suite = AptArchive::suites().front()});
        if (const auto kernel = as_kernel(packages.back()))
            require(compare_releases(kernel->release, kernel->release) == 0, "a release is as new as itself");
    }
    for (std::size_t i = 0; i + 1 < packages.size(); ++i)
        require((compare_releases(packages[i].name, packages[i + 1].name) < 0) ==
                    (compare_releases(packages[i + 1].name, packages[i].name) > 0),
                "one of two is the newer one");
    const auto newest = accepted([&] { return choose_kernel(packages, "newest"); }, ErrorKind::not_found);
    if (newest)
        require(choose_kernel(packages, newest->release).release == newest->release, "it can be named");
}

void read_modules(const std::string& text) {
    const ModuleIndex index(text);
    std::vector<std::string> names;
    for (const std::string& line : lines_of(text))
        names.push_back(line.substr(0, line.find(':')));
    const std::set<std::string> paths = index.closure(names);
    const std::string reduced = reduced_modules_dep(text, paths);
    require(reduced_modules_dep(reduced, paths).size() <= reduced.size(), "reducing adds nothing");
    require(reduced_aliases(text, {names.begin(), names.end()}).size() <= text.size() + 1, "nor here");
}

}  // namespace

void run(Input input) {
    const unsigned kind = input.below(5);
    const std::string text(input.take_text());
    switch (kind) {
        case 0:
            read_devices(text);
            break;
        case 1:
            read_kernels(text);
            break;
        case 2:
            read_modules(text);
            break;
        case 3:
            require(choose_debian_source(text).uri.size() <= text.size(), "a source is one of the text");
            break;
        default:
            const auto payload = accepted([&] { return bzimage_payload(text); }, ErrorKind::failed);
            if (payload)
                require(payload->data() >= text.data() &&
                            payload->data() + payload->size() <= text.data() + text.size(),
                        "a payload lies inside the image");
    }
}

}  // namespace outboard::fuzz
