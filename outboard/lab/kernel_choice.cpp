#include "outboard/lab/kernel_choice.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace outboard::lab {

namespace {

bool is_digit(char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

// Takes the number or the run of other characters that `text` starts with.
std::string_view take_part(std::string_view& text) {
    std::size_t length = 1;
    while (length < text.size() && is_digit(text[length]) == is_digit(text[0]))
        ++length;
    const std::string_view part = text.substr(0, length);
    text.remove_prefix(length);
    return part;
}

bool matches(const std::string& release, const std::string& wish) {
    if (wish == "newest" || release == wish)
        return true;
    return release.size() > wish.size() && release.starts_with(wish) && !is_digit(release[wish.size()]);
}

std::ptrdiff_t suite_rank(const std::string& suite) {
    return std::ranges::find(AptArchive::suites(), suite) - AptArchive::suites().begin();
}

std::string series(const std::string& release) {
    const std::size_t first = release.find('.');
    return release.substr(0, release.find_first_not_of("0123456789", first + 1));
}

}  // namespace

std::optional<KernelPackage> as_kernel(const PackageVersion& package) {
    for (const std::string_view prefix : {"linux-image-", "linux-binary-"}) {
        constexpr std::string_view flavour = "-amd64";
        if (!package.name.starts_with(prefix) || !package.name.ends_with(flavour))
            continue;
        const std::string release = package.name.substr(prefix.size());
        const std::string number = release.substr(0, release.size() - flavour.size());
        // Other flavours put their name before "-amd64": "6.12.95+deb12-cloud", "6.1.0-50-rt".
        const std::size_t dash = number.find('-');
        const bool plain =
            dash == std::string::npos ||
            std::all_of(number.begin() + static_cast<std::ptrdiff_t>(dash) + 1, number.end(), is_digit);
        if (is_digit(release[0]) && plain)
            return KernelPackage{
                .image = package, .release = release, .modules_are_separate = prefix == "linux-binary-"};
    }
    return std::nullopt;
}

int compare_releases(const std::string& left, const std::string& right) {
    std::string_view a = left;
    std::string_view b = right;
    while (!a.empty() && !b.empty()) {
        const std::string_view part_a = take_part(a);
        const std::string_view part_b = take_part(b);
        if (is_digit(part_a[0]) && is_digit(part_b[0]) && part_a.size() != part_b.size())
            return part_a.size() < part_b.size() ? -1 : 1;
        if (part_a != part_b)
            return part_a < part_b ? -1 : 1;
    }
    return static_cast<int>(b.empty()) - static_cast<int>(a.empty());
}

KernelPackage choose_kernel(const std::vector<PackageVersion>& packages, const std::string& wish) {
    std::optional<KernelPackage> best;
    std::set<std::string> offered;
    for (const PackageVersion& package : packages) {
        const std::optional<KernelPackage> kernel = as_kernel(package);
        if (!kernel)
            continue;
        offered.insert(series(kernel->release));
        if (!matches(kernel->release, wish))
            continue;
        const bool any_suite =
            wish == "newest" || !best || suite_rank(best->image.suite) == suite_rank(package.suite);
        const int newer = best ? compare_releases(kernel->release, best->release) : 1;
        // Of one release, the package that holds the image itself comes before the one that only depends on
        // it.
        const bool better = any_suite ? newer > 0 || (newer == 0 && kernel->modules_are_separate)
                                      : suite_rank(package.suite) < suite_rank(best->image.suite);
        if (better)
            best = kernel;
    }
    if (!best)
        throw Error({.kind = ErrorKind::not_found,
                     .action = "find",
                     .subject = "a kernel " + wish,
                     .cause = "no suite of Debian that the lab uses has one",
                     .remedy = fmt::format("choose newest or one of {}", fmt::join(offered, ", "))});
    return *best;
}

}  // namespace outboard::lab
