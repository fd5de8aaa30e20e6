// Which Debian kernel package a wish like "6.12" means.
#pragma once

#include "outboard/lab/apt_archive.hpp"

#include <optional>
#include <string>
#include <vector>

namespace outboard::lab {

/// A Debian kernel: the package with the image, and what `uname -r` says.
struct KernelPackage {
    PackageVersion image;
    std::string release;                ///< "6.12.95+deb12-amd64"
    bool modules_are_separate = false;  ///< they are in linux-modules-RELEASE, since 7.2
};

/// The regular expression for AptArchive::find() that finds all of them.
inline constexpr const char* kernel_name_pattern = "^linux-(image|binary)-[0-9].*-amd64$";

/// The kernel that a package is; nothing for other flavours (cloud, rt), debug symbols and unsigned images.
std::optional<KernelPackage> as_kernel(const PackageVersion& package);

/// Compares kernel releases by their numbers: <0, 0, >0.
int compare_releases(const std::string& left, const std::string& right);

/// The kernel that `wish` means: "newest", a series ("6.12": the newest of it in the oldest suite that has
/// it, so backports come before the next Debian), or a whole release. Throws Error naming what there is.
KernelPackage choose_kernel(const std::vector<PackageVersion>& packages, const std::string& wish);

}  // namespace outboard::lab
