// The content of a simulated disk, with a volatile write cache that a simulated power cut loses.
#pragma once

#include "outboard/sim/storage_medium.hpp"
#include "outboard/sim/unstable_blocks.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace outboard::sim {

struct StorageOptions {
    enum class Kind { memory, file, null };
    Kind kind = Kind::memory;
    std::uint64_t size = 0;          ///< bytes; of a file 0: as large as it is
    std::filesystem::path file{};    ///< a raw image, made when it does not exist and a size is stated
    std::uint32_t block_size = 512;  ///< bytes: a power cut leaves a block old or new; 512 … 65536, 2^n
    std::uint64_t write_cache = 0;   ///< bytes of unflushed writes that a power cut may lose at most
};

/// Whether a power cut may lose a write.
enum class Durability {
    cached,  ///< yes, until the next flush
    stable,  ///< no: force unit access, or the write cache is off
};

/// Blocks at byte offsets. Results are 0 or an errno value: ERANGE when the range is not inside size(),
/// EINVAL when a write or discard is not of whole blocks, or what the medium's file says. One thread.
class Storage {
  public:
    /// Throws Error. A size that is no multiple of the block size is cut.
    explicit Storage(const StorageOptions& options);

    std::uint64_t size() const noexcept { return size_; }
    std::uint32_t block_size() const noexcept { return block_size_; }
    /// It keeps nothing: a device for benchmarks may leave transfers out.
    bool null() const noexcept { return null_; }

    /// Any range of bytes.
    [[nodiscard]] int read(std::uint64_t offset, std::span<std::byte> data) noexcept;
    [[nodiscard]] int write(std::uint64_t offset, std::span<const std::byte> data,
                            Durability durability) noexcept;
    /// The range reads as zeros from now on, and a power cut does not bring it back.
    [[nodiscard]] int discard(std::uint64_t offset, std::uint64_t size) noexcept;
    /// What was written until now is stable.
    [[nodiscard]] int flush() noexcept;

    /// Bytes that a power cut would put at risk.
    std::uint64_t unstable_bytes() const noexcept { return unstable_.count() * block_size_; }
    /// Power was cut: each block at risk keeps its last content or gets its last stable one back. `seed`
    /// decides for each block by itself; the same one decides the same again. Returns how many went back.
    /// Throws Error.
    std::uint64_t cut_power(std::uint64_t seed);
    /// The same, and every block at risk goes back.
    std::uint64_t cut_power();

  private:
    bool inside(std::uint64_t offset, std::uint64_t size) const noexcept {
        return offset <= size_ && size <= size_ - offset;
    }
    int check_blocks(std::uint64_t offset, std::uint64_t size) const noexcept;
    int save(std::uint64_t offset, std::uint64_t size) noexcept;
    template <class Lost>
    std::uint64_t bring_back(Lost lost);

    std::unique_ptr<StorageMedium> medium_;
    std::uint32_t block_size_;
    std::uint64_t size_;
    bool null_;
    bool cache_;
    UnstableBlocks unstable_;
    std::unique_ptr<std::byte[]> old_;  ///< one block
};

}  // namespace outboard::sim
