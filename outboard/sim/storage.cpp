#include "outboard/sim/storage.hpp"

#include "outboard/base/error.hpp"

#include <bit>
#include <cerrno>
#include <new>
#include <random>

#include <fmt/format.h>

namespace outboard::sim {

namespace {

[[noreturn]] void refuse(std::string cause, std::string remedy) {
    throw Error({.kind = ErrorKind::usage,
                 .action = "simulate",
                 .subject = "a disk",
                 .cause = std::move(cause),
                 .remedy = std::move(remedy)});
}

std::unique_ptr<StorageMedium> make_medium(const StorageOptions& options) {
    if (!std::has_single_bit(options.block_size) || options.block_size < 512 || options.block_size > 65536)
        refuse(fmt::format("its block size of {} bytes is no power of two from 512 to 65536",
                           options.block_size),
               "state 512 or 4096");
    switch (options.kind) {
        case StorageOptions::Kind::file:
            return make_file_medium(options.file, options.size);
        case StorageOptions::Kind::null:
            return make_null_medium(options.size);
        case StorageOptions::Kind::memory:
            break;
    }
    if (options.size < options.block_size)
        refuse("it has no block", "state a size");
    return make_memory_medium(options.size);
}

}  // namespace

Storage::Storage(const StorageOptions& options)
    : medium_(make_medium(options)),
      block_size_(options.block_size),
      size_(medium_->size() / block_size_ * block_size_),
      null_(options.kind == StorageOptions::Kind::null),
      cache_(!null_ && options.write_cache >= block_size_),
      unstable_(block_size_, options.write_cache / block_size_),
      old_(std::make_unique<std::byte[]>(block_size_)) {
    if (size_ == 0)
        refuse("it has no block", "state a size");
}

int Storage::check_blocks(std::uint64_t offset, std::uint64_t size) const noexcept {
    if (!inside(offset, size))
        return ERANGE;
    return (offset | size) % block_size_ != 0 ? EINVAL : 0;
}

int Storage::read(std::uint64_t offset, std::span<std::byte> data) noexcept {
    return inside(offset, data.size()) ? medium_->read(offset, data) : ERANGE;
}

int Storage::write(std::uint64_t offset, std::span<const std::byte> data, Durability durability) noexcept {
    if (const int error = check_blocks(offset, data.size()); error != 0)
        return error;
    if (cache_ && durability == Durability::cached) {
        if (const int error = save(offset, data.size()); error != 0)
            return error;
    }
    const int error = medium_->write(offset, data);
    if (error == 0 && cache_ && durability == Durability::stable)
        unstable_.settle(offset / block_size_, data.size() / block_size_);
    return error;
}

/// Keeps what blocks hold now, if that is stable.
int Storage::save(std::uint64_t offset, std::uint64_t size) noexcept {
    for (const std::uint64_t end = offset + size; offset < end; offset += block_size_) {
        const std::uint64_t block = offset / block_size_;
        if (unstable_.contains(block))
            continue;
        if (const int error = medium_->read(offset, {old_.get(), block_size_}); error != 0)
            return error;
        try {
            unstable_.add(block, {old_.get(), block_size_});
        } catch (const std::bad_alloc&) {
            return ENOMEM;
        }
    }
    return 0;
}

int Storage::discard(std::uint64_t offset, std::uint64_t size) noexcept {
    if (const int error = check_blocks(offset, size); error != 0)
        return error;
    const int error = medium_->discard(offset, size);
    if (error == 0)
        unstable_.settle(offset / block_size_, size / block_size_);
    return error;
}

int Storage::flush() noexcept {
    unstable_.settle_all();
    return 0;
}

template <class Lost>
std::uint64_t Storage::bring_back(Lost lost) {
    std::uint64_t count = 0;
    unstable_.take([&](std::uint64_t block, std::span<const std::byte> stable) {
        if (!lost())
            return;
        ++count;
        if (const int error = medium_->write(block * block_size_, stable); error != 0)
            throw_errno(error, "cut the power of", "a simulated disk");
    });
    return count;
}

std::uint64_t Storage::cut_power(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    return bring_back([&] { return random() % 2 == 0; });
}

std::uint64_t Storage::cut_power() {
    return bring_back([] { return true; });
}

}  // namespace outboard::sim
