// Which kernel package a wish means.
#include "outboard/lab/kernel_choice.hpp"

#include "outboard/base/error.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace outboard::lab {
namespace {

PackageVersion package(const std::string& name, const std::string& suite) {
    return {.name = name, .version = "1", .suite = suite};
}

std::vector<PackageVersion> archive() {
    return {package("linux-image-6.1.0-9-amd64", "bookworm"),
            package("linux-image-6.1.0-50-amd64", "bookworm"),
            package("linux-image-6.1.0-50-rt-amd64", "bookworm"),
            package("linux-image-6.12.95+deb12-amd64", "bookworm-backports"),
            package("linux-image-6.12.90+deb12.1-amd64", "bookworm-backports"),
            package("linux-image-6.12.95+deb12-cloud-amd64", "bookworm-backports"),
            package("linux-image-6.12.95+deb12-amd64-dbg", "bookworm-backports"),
            package("linux-image-6.12.107+deb13-amd64", "trixie"),
            package("linux-image-7.3.4+deb13-amd64", "trixie-backports"),
            package("linux-binary-7.3.4+deb13-amd64", "trixie-backports"),
            package("linux-binary-unsigned-7.3.4+deb13-amd64", "trixie-backports")};
}

TEST(KernelChoice, TakesTheNewestOfTheSeriesByNumberNotByText) {
    EXPECT_EQ(choose_kernel(archive(), "6.1").release, "6.1.0-50-amd64");
}

TEST(KernelChoice, PrefersTheOldestSuiteThatHasTheSeries) {
    const KernelPackage kernel = choose_kernel(archive(), "6.12");
    EXPECT_EQ(kernel.release, "6.12.95+deb12-amd64");
    EXPECT_EQ(kernel.image.suite, "bookworm-backports");
    EXPECT_FALSE(kernel.modules_are_separate);
}

TEST(KernelChoice, TakesThePackageThatHoldsTheImage) {
    for (const char* wish : {"7.3", "newest"}) {
        const KernelPackage kernel = choose_kernel(archive(), wish);
        EXPECT_EQ(kernel.image.name, "linux-binary-7.3.4+deb13-amd64");
        EXPECT_EQ(kernel.release, "7.3.4+deb13-amd64");
        EXPECT_TRUE(kernel.modules_are_separate);
    }
}

TEST(KernelChoice, TakesAWholeReleaseLiterally) {
    EXPECT_EQ(choose_kernel(archive(), "6.12.107+deb13-amd64").image.suite, "trixie");
    EXPECT_EQ(choose_kernel(archive(), "6.12.90").release, "6.12.90+deb12.1-amd64");
}

TEST(KernelChoice, NamesWhatThereIsWhenThereIsNoSuchKernel) {
    try {
        choose_kernel(archive(), "5.10");
        FAIL() << "found a kernel 5.10";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::not_found);
        EXPECT_EQ(error.parts().remedy, "choose newest or one of 6.1, 6.12, 7.3");
    }
}

TEST(KernelChoice, ComparesReleases) {
    EXPECT_LT(compare_releases("6.9.1", "6.12.1"), 0);
    EXPECT_GT(compare_releases("6.12.95+deb12", "6.12.94+deb13"), 0);
    EXPECT_EQ(compare_releases("7.3.4", "7.3.4"), 0);
    EXPECT_LT(compare_releases("6.12.90+deb12", "6.12.90+deb12.1"), 0);
}

TEST(DebianSource, IsTheMachinesMainArchive) {
    const DebianSource source = choose_debian_source(
        "Docker|bookworm|stable|http://other.example/|/nonexistent:1\n"
        "Debian|bookworm-security|main|http://mirror.example/debian-security/|/nonexistent:1\n"
        "Debian|bookworm|main|http://mirror.example/debian/|/nonexistent:1\n");
    EXPECT_EQ(source.uri, "http://mirror.example/debian/");
    EXPECT_TRUE(source.keyring.empty());
}

TEST(DebianSource, IsFoundBeforeAnyListsAre) {
    const DebianSource source =
        choose_debian_source("$(ORIGIN)|trixie|main|http://mirror.example/debian/|/nonexistent:1\n");
    EXPECT_EQ(source.uri, "http://mirror.example/debian/");
}

TEST(DebianSource, IsEmptyWithoutOne) {
    EXPECT_TRUE(choose_debian_source("").uri.empty());
}

}  // namespace
}  // namespace outboard::lab
