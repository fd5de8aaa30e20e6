// The memory that a server may reach, and its commands to read and write it: servers that cannot map memory,
// or were given none to map, ask for it by messages.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/backend/vfio_user/message.hpp"
#include "outboard/runtime/clock.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

namespace outboard::vfio_user {

/// Any thread.
class DmaTable {
  public:
    /// True when no mapping has any of [iova, iova + size), and the range does not run past the last address.
    bool is_free(std::uint64_t iova, std::uint64_t size) const;
    /// `memory` stays valid until it is removed. The range is free.
    void add(std::uint64_t iova, std::span<std::byte> memory, DmaAccess access);
    /// False when this is not a mapping that was added. Once it returns nobody touches the memory any more.
    bool remove(std::uint64_t iova, std::uint64_t size);
    /// True when exactly this was added.
    bool contains(std::uint64_t iova, std::uint64_t size) const;
    std::size_t size() const;

    struct Range {
        std::uint64_t iova = 0;
        std::uint64_t size = 0;
    };
    std::vector<Range> ranges() const;

    /// Does what a server's command says, and answers on `socket` unless it wants no answer: EFAULT for
    /// memory that is not mapped, EACCES for access in a direction that is not allowed, ENOSYS for a command
    /// that is no server's. Returns 0, or the errno value with which sending the answer failed.
    [[nodiscard]] int serve(MessageSocket& socket, const Message& message, TimePoint deadline) noexcept;

  private:
    struct Mapping {
        std::span<std::byte> memory;
        DmaAccess access = DmaAccess::read_write;
    };

    using Pieces = std::vector<std::span<std::byte>>;

    int find(std::uint64_t address, std::uint64_t count, DmaAccess access, Pieces& pieces) const;
    int execute(const Message& message, DmaAccessMessage& access, Pieces& data);

    mutable std::mutex mutex_;  ///< held while memory is touched, too
    std::map<std::uint64_t, Mapping> mappings_;
};

}  // namespace outboard::vfio_user
