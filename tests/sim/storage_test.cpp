#include "outboard/sim/storage.hpp"

#include "outboard/base/error.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

namespace outboard::sim {
namespace {

using Kind = StorageOptions::Kind;

constexpr std::uint64_t tebibyte = std::uint64_t{1} << 40;

std::vector<std::byte> filled(std::size_t size, unsigned value) {
    return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

std::vector<std::byte> read(Storage& storage, std::uint64_t offset, std::size_t size) {
    std::vector<std::byte> data = filled(size, 0xee);
    EXPECT_EQ(storage.read(offset, data), 0);
    return data;
}

void write(Storage& storage, std::uint64_t offset, std::size_t size, unsigned value,
           Durability durability = Durability::cached) {
    EXPECT_EQ(storage.write(offset, filled(size, value), durability), 0);
}

class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "storage-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("no temporary directory");
        path_ = name;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    TemporaryDirectory(TemporaryDirectory&&) = delete;
    TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

/// Memory and file keep bytes alike.
class StorageKeeps : public ::testing::TestWithParam<Kind> {
  protected:
    StorageOptions options(std::uint64_t size) const {
        return {.kind = GetParam(), .size = size, .file = directory_ / "image"};
    }

    TemporaryDirectory directory_;
};

TEST_P(StorageKeeps, WhatIsWritten) {
    Storage storage(options(1 << 20));
    EXPECT_EQ(storage.size(), 1U << 20);
    EXPECT_FALSE(storage.null());
    EXPECT_EQ(read(storage, 0, 4096), filled(4096, 0));
    write(storage, 1024, 512, 7);
    EXPECT_EQ(read(storage, 1024, 512), filled(512, 7));
    EXPECT_EQ(read(storage, 1023, 3), (std::vector{std::byte{0}, std::byte{7}, std::byte{7}}));
    EXPECT_EQ(read(storage, 1536, 512), filled(512, 0));
}

TEST_P(StorageKeeps, AndForgetsWhatIsDiscarded) {
    Storage storage(options(1 << 20));
    write(storage, 0, 1 << 20, 9);
    EXPECT_EQ(storage.discard(512, 100 * 512), 0);
    EXPECT_EQ(read(storage, 0, 512), filled(512, 9));
    EXPECT_EQ(read(storage, 512, 100 * 512), filled(100 * 512, 0));
    EXPECT_EQ(read(storage, 101 * 512, 512), filled(512, 9));
    EXPECT_EQ(storage.discard(0, 0), 0);
}

TEST_P(StorageKeeps, MoreThanTheMachineHas) {
    Storage storage(options(tebibyte));
    write(storage, tebibyte - 512, 512, 3);
    write(storage, 0, 512, 4);
    EXPECT_EQ(read(storage, tebibyte - 512, 512), filled(512, 3));
    EXPECT_EQ(read(storage, tebibyte / 2, 512), filled(512, 0));
}

TEST_P(StorageKeeps, NothingBeyondItsEndAndOnlyWholeBlocks) {
    Storage storage(options(8192 + 100));
    EXPECT_EQ(storage.size(), 8192U);
    std::vector<std::byte> data = filled(1024, 1);
    EXPECT_EQ(storage.read(8192 - 512, data), ERANGE);
    EXPECT_EQ(storage.write(8192 - 512, data, Durability::cached), ERANGE);
    EXPECT_EQ(storage.read(std::uint64_t{0} - 512, data), ERANGE);
    EXPECT_EQ(storage.discard(512, std::uint64_t{0} - 512), ERANGE);
    EXPECT_EQ(storage.write(256, data, Durability::cached), EINVAL);
    EXPECT_EQ(storage.discard(512, 100), EINVAL);
    EXPECT_EQ(read(storage, 0, 8192), filled(8192, 0));
}

INSTANTIATE_TEST_SUITE_P(Kinds, StorageKeeps, ::testing::Values(Kind::memory, Kind::file));

TEST(StorageNull, IsZeroAndTakesEverything) {
    Storage storage({.kind = Kind::null, .size = 512 * tebibyte, .write_cache = 1 << 20});
    EXPECT_TRUE(storage.null());
    write(storage, 0, 4096, 1);
    EXPECT_EQ(read(storage, 0, 4096), filled(4096, 0));
    EXPECT_EQ(storage.unstable_bytes(), 0U);
    EXPECT_EQ(storage.discard(0, storage.size()), 0);
}

TEST(StorageFile, ContentOutlivesIt) {
    const TemporaryDirectory directory;
    {
        Storage storage({.kind = Kind::file, .size = 1 << 20, .file = directory / "image"});
        write(storage, 4096, 512, 5);
    }
    Storage storage({.kind = Kind::file, .file = directory / "image"});
    EXPECT_EQ(storage.size(), 1U << 20);
    EXPECT_EQ(read(storage, 4096, 512), filled(512, 5));
}

ErrorKind refusal(const StorageOptions& options) {
    try {
        const Storage storage(options);
    } catch (const Error& error) {
        return error.kind();
    }
    ADD_FAILURE() << "not refused";
    return {};
}

TEST(StorageFile, IsRefusedWhenItIsAnother) {
    const TemporaryDirectory directory;
    EXPECT_EQ(refusal({.kind = Kind::file, .file = directory / "none"}), ErrorKind::not_found);
    EXPECT_FALSE(std::filesystem::exists(directory / "none"));
    std::ofstream(directory / "image") << std::string(1024, 'x');
    EXPECT_EQ(refusal({.kind = Kind::file, .size = 2048, .file = directory / "image"}), ErrorKind::usage);
    std::ofstream(directory / "empty").close();
    EXPECT_EQ(refusal({.kind = Kind::file, .file = directory / "empty"}), ErrorKind::usage);
    const Storage first({.kind = Kind::file, .file = directory / "image"});
    EXPECT_EQ(refusal({.kind = Kind::file, .file = directory / "image"}), ErrorKind::busy);
}

TEST(StorageFile, ThatIsCutMeanwhileIsAnError) {
    const TemporaryDirectory directory;
    Storage storage({.kind = Kind::file, .size = 1 << 20, .file = directory / "image"});
    std::filesystem::resize_file(directory / "image", 4096);
    std::vector<std::byte> data(512);
    EXPECT_EQ(storage.read(8192, data), EIO);
}

TEST(Storage, RefusesImpossibleSizes) {
    EXPECT_EQ(refusal({.size = 0}), ErrorKind::usage);
    EXPECT_EQ(refusal({.size = 511}), ErrorKind::usage);
    EXPECT_EQ(refusal({.size = 4096, .block_size = 1000}), ErrorKind::usage);
}

// ---- the volatile write cache ----

const StorageOptions with_cache{.size = 1 << 20, .write_cache = 1 << 20};

TEST(StorageCache, LosesWhatWasNotFlushed) {
    Storage storage(with_cache);
    write(storage, 0, 1024, 1);
    EXPECT_EQ(storage.flush(), 0);
    EXPECT_EQ(storage.unstable_bytes(), 0U);
    write(storage, 512, 1024, 2);
    write(storage, 512, 512, 3);
    EXPECT_EQ(storage.unstable_bytes(), 1024U);
    EXPECT_EQ(read(storage, 512, 512), filled(512, 3)) << "the cache is read";
    EXPECT_EQ(storage.cut_power(), 2U);
    EXPECT_EQ(read(storage, 0, 1024), filled(1024, 1));
    EXPECT_EQ(read(storage, 1024, 512), filled(512, 0));
    EXPECT_EQ(storage.cut_power(), 0U);
}

TEST(StorageCache, KeepsStableWrites) {
    Storage storage(with_cache);
    write(storage, 0, 1024, 1);
    write(storage, 512, 512, 2, Durability::stable);
    EXPECT_EQ(storage.unstable_bytes(), 512U);
    EXPECT_EQ(storage.cut_power(), 1U);
    EXPECT_EQ(read(storage, 0, 512), filled(512, 0));
    EXPECT_EQ(read(storage, 512, 512), filled(512, 2));
}

TEST(StorageCache, DoesNotBringDiscardedBlocksBack) {
    Storage storage(with_cache);
    write(storage, 0, 2048, 1);
    EXPECT_EQ(storage.flush(), 0);
    write(storage, 0, 2048, 2);
    EXPECT_EQ(storage.discard(512, 1024), 0);
    EXPECT_EQ(storage.cut_power(), 2U);
    EXPECT_EQ(read(storage, 0, 512), filled(512, 1));
    EXPECT_EQ(read(storage, 512, 1024), filled(1024, 0));
    EXPECT_EQ(read(storage, 1536, 512), filled(512, 1));
    write(storage, 0, 512, 3);
    EXPECT_EQ(storage.discard(0, storage.size()), 0) << "more blocks than there are in the cache";
    EXPECT_EQ(storage.unstable_bytes(), 0U);
}

TEST(StorageCache, WritesTheOldestBackWhenItIsFull) {
    Storage storage({.size = 1 << 20, .write_cache = 4 * 512});
    for (unsigned block = 0; block < 6; ++block)
        write(storage, block * 512, 512, 10 + block);
    EXPECT_EQ(storage.unstable_bytes(), 4 * 512U);
    EXPECT_EQ(storage.cut_power(), 4U);
    EXPECT_EQ(read(storage, 0, 512), filled(512, 10));
    EXPECT_EQ(read(storage, 512, 512), filled(512, 11));
    EXPECT_EQ(read(storage, 1024, 512), filled(512, 0));
}

TEST(StorageCache, ASeedDecidesBlockByBlockAndAgain) {
    constexpr unsigned blocks = 256;
    const auto after = [](std::uint64_t seed) {
        Storage storage({.size = blocks * 4096, .block_size = 4096, .write_cache = blocks * 4096});
        write(storage, 0, blocks * 4096, 1);
        const std::uint64_t lost = storage.cut_power(seed);
        EXPECT_GT(lost, blocks / 4);
        EXPECT_LT(lost, 3 * blocks / 4);
        const auto content = read(storage, 0, blocks * 4096);
        for (std::size_t at = 0; at < content.size(); at += 4096)
            EXPECT_EQ(content[at], content[at + 4095]) << "a block is torn";
        return content;
    };
    EXPECT_EQ(after(1), after(1));
    EXPECT_NE(after(1), after(2));
}

TEST(StorageCache, NoneLosesNothing) {
    Storage storage({.size = 1 << 20});
    write(storage, 0, 512, 1);
    EXPECT_EQ(storage.cut_power(), 0U);
    EXPECT_EQ(read(storage, 0, 512), filled(512, 1));
}

}  // namespace
}  // namespace outboard::sim
