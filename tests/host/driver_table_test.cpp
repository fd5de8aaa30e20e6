#include "outboard/host/driver_table.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/classes/driver_module.hpp"
#include "outboard/host/module_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "tests/support/expect_error.hpp"
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace outboard {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr PciIdentity nvme{
    .vendor = 0x1b36, .device = 0x0010, .base_class = 1, .sub_class = 8, .programming_interface = 2};
constexpr PciIdentity piix3{.vendor = 0x8086, .device = 0x7010, .base_class = 1, .sub_class = 1};
constexpr PciIdentity some_ide{
    .vendor = 0x4242, .device = 1, .base_class = 1, .sub_class = 1, .programming_interface = 0x85};
constexpr PciIdentity nothing{.vendor = 0x4242, .device = 2, .base_class = 0xff};

fs::path module_path(const std::string& driver) {
    return fs::path(MODULES) / ("liboutboard-driver-" + driver + ".so");
}

std::vector<std::byte> bytes_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> text(std::istreambuf_iterator<char>(file), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

/// Where the module's note says its version.
std::size_t version_place(const std::vector<std::byte>& file) {
    const auto note = module_note::make("edu", std::array<PciMatch, 1>{});
    std::array<std::byte, 12 + 12> start{};
    std::memcpy(start.data(), &note, start.size());
    // Of the header, what is the same for all modules: the owner's length, and its name.
    const auto found = std::search(file.begin(), file.end(), start.begin() + 8, start.end());
    return static_cast<std::size_t>(found - file.begin()) + 4 + 12;
}

class Folder {
  public:
    Folder() {
        std::string name = "/tmp/outboard-modules-XXXXXX";
        path_ = ::mkdtemp(name.data());
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    Folder(Folder&&) = delete;
    Folder& operator=(Folder&&) = delete;
    ~Folder() { fs::remove_all(path_); }
    const fs::path& path() const { return path_; }
    fs::path write(const std::string& name, std::span<const std::byte> content) const {
        std::ofstream(path_ / name, std::ios::binary)
            .write(reinterpret_cast<const char*>(content.data()),
                   static_cast<std::streamsize>(content.size()));
        fs::permissions(path_ / name, fs::perms::owner_read | fs::perms::owner_write);
        return path_ / name;
    }

  private:
    fs::path path_;
};

TEST(PciMatch, FitsByIdentifiersAndByClass) {
    const PciMatch by_name{.vendor = 0x8086, .device = 0x7010};
    EXPECT_TRUE(by_name.fits(piix3));
    EXPECT_FALSE(by_name.fits(some_ide));
    const PciMatch by_class{.class_code = 0x010100, .class_mask = 0xffff00};
    EXPECT_TRUE(by_class.fits(piix3));
    EXPECT_TRUE(by_class.fits(some_ide));
    EXPECT_FALSE(by_class.fits(nvme));
}

TEST(DriverTable, BuiltInDriversAreFoundByIdentity) {
    ASSERT_NE(find_driver(nvme), nullptr);
    EXPECT_EQ(find_driver(nvme)->name, "nvme");
    EXPECT_EQ(find_driver(piix3)->match(piix3), "Intel PIIX3 IDE");
    EXPECT_EQ(find_driver(some_ide)->match(some_ide), "PCI IDE controller");
    EXPECT_EQ(find_driver(nothing), nullptr);
}

TEST(DriverModule, SaysWhatTheDriverSays) {
    for (const DriverDescription* const driver : built_in_drivers()) {
        const ModuleFile module = open_module(module_path(std::string(driver->name)));
        EXPECT_EQ(*module.description.driver, driver->name);
        ASSERT_EQ(module.description.devices.size(), driver->devices.size());
        for (std::size_t i = 0; i < driver->devices.size(); ++i) {
            const PciMatch& said = module.description.devices[i];
            const PciMatch& known = driver->devices[i];
            EXPECT_EQ(said.name, known.name);
            EXPECT_TRUE(said.vendor == known.vendor && said.device == known.device);
            EXPECT_TRUE(said.class_code == known.class_code && said.class_mask == known.class_mask);
        }
    }
}

TEST(DriverModule, IsLoadedAndIsAnotherCopyOfTheDriver) {
    for (const DriverDescription* const driver : built_in_drivers()) {
        const ModuleFile module = open_module(module_path(std::string(driver->name)));
        const DriverDescription& loaded = load_module(module.path, *module.description.driver);
        EXPECT_NE(&loaded, driver);
        EXPECT_NE(loaded.start, driver->start);
        EXPECT_EQ(loaded.name, driver->name);
        EXPECT_EQ(loaded.dma_bytes, driver->dma_bytes);
        EXPECT_EQ(loaded.match(nvme), driver->match(nvme));
    }
}

TEST(DriverModule, StandsInForWhatIsBuiltIn) {
    const Folder folder;
    const std::vector<std::byte> edu = bytes_of(module_path("edu"));
    folder.write("liboutboard-driver-edu.so", edu);
    folder.write("liboutboard-driver-empty.so", {});
    folder.write("other.so", edu);
    const std::vector<std::string> refused = add_driver_modules(folder.path());
    EXPECT_THAT(refused, testing::ElementsAre(HasSubstr("liboutboard-driver-empty.so: it is no file of a "
                                                        "driver's size")));
    EXPECT_EQ(known_drivers().size(), built_in_drivers().size() + 1);
    const KnownDriver* const found = find_driver({.vendor = 0x1234, .device = 0x11e8});
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->file, folder.path() / "liboutboard-driver-edu.so");
    EXPECT_EQ(found->name, "edu");
    EXPECT_EQ(load_driver(*found).name, "edu");
    EXPECT_THAT(add_driver_modules(folder.path() / "nowhere"), testing::IsEmpty());
}

TEST(DriverModule, OfAnotherVersionIsRefused) {
    const Folder folder;
    std::vector<std::byte> file = bytes_of(module_path("edu"));
    const std::size_t place = version_place(file);
    const std::uint32_t version = 77;
    std::memcpy(&file.at(place), &version, sizeof version);
    const fs::path path = folder.write("liboutboard-driver-edu.so", file);
    EXPECT_ERROR(
        open_module(path), ErrorKind::unsupported,
        ("cannot use as a driver " + path.string() +
         ": it is made for version 77 of the driver interface, and this program has version 2; build "
         "it with the headers of this version of Outboard")
            .c_str());
}

TEST(DriverModule, ThatOthersMayChangeIsRefused) {
    const Folder folder;
    const fs::path path = folder.write("liboutboard-driver-edu.so", bytes_of(module_path("edu")));
    fs::permissions(path, fs::perms::group_write, fs::perm_options::add);
    const Error error = test::error_of([&] { open_module(path); });
    EXPECT_EQ(error.kind(), ErrorKind::not_permitted);
    EXPECT_THAT(error.what(), HasSubstr("others may change it"));
}

TEST(DriverModule, WhatIsNoneIsRefused) {
    EXPECT_THAT(test::error_of([] { open_module("/bin/true"); }).what(), HasSubstr("no note of Outboard"));
    EXPECT_THAT(test::error_of([] { open_module("/etc/passwd"); }).what(), HasSubstr("no ELF file"));
    EXPECT_EQ(test::error_of([] { open_module("/nowhere"); }).kind(), ErrorKind::not_found);
}

/// Whatever the file says of itself, nothing is read outside of it: for the sanitizers.
TEST(DriverModule, DamagedFilesAreReadWithinTheirBounds) {
    const std::vector<std::byte> whole = bytes_of(module_path("ide"));
    const std::size_t note = version_place(whole);
    const auto read = [](const std::vector<std::byte>& file) {
        try {
            static_cast<void>(parse_module(file, "damaged"));
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::unsupported);
        }
    };
    std::vector<std::size_t> places(sizeof(Elf64_Ehdr) + 12 * sizeof(Elf64_Phdr));
    for (std::size_t i = 0; i < places.size(); ++i)
        places[i] = i;
    for (std::size_t i = 0; i < 128; ++i)
        places.push_back(note - 24 + i);
    for (const std::size_t place : places) {
        for (const std::byte value : {std::byte{0}, std::byte{0x7f}, std::byte{0xff}}) {
            std::vector<std::byte> file(whole.begin(),
                                        whole.begin() + static_cast<std::ptrdiff_t>(note + 1024));
            file[place] = value;
            read(file);
        }
    }
    for (std::size_t size = 0; size < note + 600; size += 7)
        read({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
}

}  // namespace
}  // namespace outboard
