// The cpio archive that the guest's kernel unpacks.
#include "outboard/lab/file_set.hpp"

#include "outboard/base/error.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace outboard::lab {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class FileSetTest : public testing::Test {
  protected:
    FileSetTest() {
        std::string name = "/tmp/file-set-test-XXXXXX";
        directory_ = ::mkdtemp(name.data());
    }
    ~FileSetTest() override { fs::remove_all(directory_); }

    fs::path write(const std::string& name, const std::string& text) const {
        std::ofstream(directory_ / name) << text;
        return directory_ / name;
    }

    struct Entry {
        unsigned mode = 0;
        std::string content;
    };

    // Reads the archive as the kernel's documentation of the format has it, not with the library that wrote
    // it: "070701", 13 fields of 8 hexadecimal digits, name and content each padded to 4 bytes.
    std::map<std::string, Entry> archive_of(const FileSet& files) const {
        const fs::path path = directory_ / "archive";
        files.write_cpio(path);
        std::ostringstream stream;
        stream << std::ifstream(path, std::ios::binary).rdbuf();
        const std::string bytes = stream.str();
        std::map<std::string, Entry> entries;
        const auto field = [&](std::size_t at, std::size_t number) {
            return std::stoul(bytes.substr(at + 6 + 8 * number, 8), nullptr, 16);
        };
        const auto padded = [](std::size_t size) { return (size + 3) / 4 * 4; };
        for (std::size_t at = 0;;) {
            EXPECT_EQ(bytes.substr(at, 6), "070701");
            const std::size_t size = field(at, 6);
            const std::size_t name_size = field(at, 11);
            const std::string name = bytes.substr(at + 110, name_size - 1);
            if (name == "TRAILER!!!")
                break;
            const std::size_t content = at + padded(110 + name_size);
            entries[name] = {.mode = static_cast<unsigned>(field(at, 1)),
                             .content = bytes.substr(content, size)};
            at = content + padded(size);
        }
        EXPECT_EQ(bytes.size() % 4, 0U) << "the next archive would not be found behind this one";
        return entries;
    }

    fs::path directory_;
};

TEST_F(FileSetTest, WritesFilesLinksAndDirectories) {
    FileSet files;
    files.add_text("/init", "#!/bin/sh\n", 0755);
    files.add_link("/bin", "usr/bin");
    files.add_directory("/tmp", 01777);
    files.add_file("/etc/data", write("data", "abc"));
    const auto entries = archive_of(files);
    EXPECT_EQ(entries.at("init").mode, 0100755U);
    EXPECT_EQ(entries.at("init").content, "#!/bin/sh\n");
    EXPECT_EQ(entries.at("bin").mode, 0120777U);
    EXPECT_EQ(entries.at("bin").content, "usr/bin");
    EXPECT_EQ(entries.at("tmp").mode, 0041777U);
    EXPECT_EQ(entries.at("etc").mode, 0040755U) << "a parent directory comes by itself";
    EXPECT_EQ(entries.at("etc/data").mode, 0100644U);
    EXPECT_EQ(entries.at("etc/data").content, "abc");
}

TEST_F(FileSetTest, TakesATreeWithItsLinks) {
    fs::create_directories(directory_ / "tree/inner");
    write("tree/inner/file", "x");
    fs::create_symlink("inner/file", directory_ / "tree/link");
    FileSet files;
    files.add_tree("/data", directory_ / "tree");
    const auto entries = archive_of(files);
    EXPECT_EQ(entries.at("data/inner/file").content, "x");
    EXPECT_EQ(entries.at("data/link").content, "inner/file");
}

TEST_F(FileSetTest, TakesTheLibrariesOfAProgram) {
    const auto libraries = shared_libraries(fs::read_symlink("/proc/self/exe"));
    EXPECT_THAT(libraries, testing::Contains(testing::Key(HasSubstr("/libstdc++.so.6"))));
    EXPECT_THAT(libraries, testing::Contains(testing::Key("/lib64/ld-linux-x86-64.so.2")));
    FileSet files;
    files.add_libraries(libraries);
    EXPECT_TRUE(files.contains("/usr/lib64/ld-linux-x86-64.so.2"));
}

TEST_F(FileSetTest, AScriptNeedsNoLibraries) {
    EXPECT_TRUE(shared_libraries(write("script", "#!/bin/sh\n")).empty());
}

TEST_F(FileSetTest, ADescriptionChangesWithWhatItDescribes) {
    FileSet files;
    files.add_file("/data", write("data", "abc"));
    const std::string before = files.description();
    EXPECT_EQ(files.description(), before);
    write("data", "abcd");
    EXPECT_NE(files.description(), before);
}

TEST_F(FileSetTest, SaysWhichFileIsMissing) {
    FileSet files;
    EXPECT_THROW(files.add_file("/data", directory_ / "missing"), Error);
}

}  // namespace
}  // namespace outboard::lab
