// The memory that a device reaches: what the client has mapped for it, by I/O virtual address.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/base/guarded_mapping.hpp"
#include "outboard/sim/counter.hpp"
#include "outboard/sim/fault_injector.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace outboard::sim {

/// Memory of the client that came without a file: each access is a message to it.
class DmaMessages {
  public:
    /// True when the client has answered with all bytes, or has taken them.
    virtual bool read(std::uint64_t iova, std::span<std::byte> data) noexcept = 0;
    virtual bool write(std::uint64_t iova, std::span<const std::byte> data) noexcept = 0;

  protected:
    ~DmaMessages() = default;
};

/// What the client allows the device to do with a mapping.
struct DmaRights {
    bool readable = false;
    bool writable = false;
};

/// May be read by any thread.
struct DmaCounts {
    Counter reads;
    Counter writes;
    Counter read_faults;  ///< reads of which a part was blocked
    Counter write_faults;
};

/// An IOMMU and the memory behind it. What is not mapped, or not with that right, or accessed while bus
/// mastering is off, faults: reads give all ones there, writes vanish, and the rest of the same access is
/// done. Used by the thread that serves the device.
class DmaMemory {
  public:
    // ---- for the model ----

    /// Copies from or to the client's memory. False when a part of it faulted.
    bool read(std::uint64_t iova, std::span<std::byte> data) noexcept;
    bool write(std::uint64_t iova, std::span<const std::byte> data) noexcept;

    /// The same for a request's data, as opposed to queue entries and tables: what a fault plan says of data
    /// happens here, with a result as if nothing had.
    bool read_data(std::uint64_t iova, std::span<std::byte> data) noexcept;
    bool write_data(std::uint64_t iova, std::span<const std::byte> data) noexcept;

    /// The client's memory itself, valid while generation() stays as it is; empty when the range does not
    /// lie inside one shared mapping with these rights, or bus mastering is off (nothing is counted then: do
    /// it with read and write). The client may change the bytes at any time: read once, check, use.
    std::span<std::byte> window(std::uint64_t iova, std::uint64_t size, DmaRights wanted) noexcept;
    /// Another one, never 0, after each change of what may be reached. None happens while the model runs.
    std::uint64_t generation() const noexcept { return generation_; }

    /// The same for a request's data; empty also while a fault of data may strike: do it with read_data and
    /// write_data then.
    std::span<std::byte> data_window(std::uint64_t iova, std::uint64_t size, DmaRights wanted) noexcept;

    const DmaCounts& counts() const noexcept { return counts_; }

    /// `faults` outlives it.
    explicit DmaMemory(FaultInjector& faults) noexcept : faults_(faults) {}

    // ---- for the server; results are 0 or an errno value ----

    /// Adds a mapping of whole pages. `file` may be empty: then messages are used, as for files that are not
    /// kept in memory. EEXIST: it overlaps another; EINVAL: no whole pages, or beyond the file; ENOSPC: too
    /// many.
    [[nodiscard]] int add(std::uint64_t iova, std::uint64_t size, DmaRights rights, const Fd& file,
                          std::uint64_t offset);
    /// The same for a server that answers first, so that its client need not wait for the file to be mapped:
    /// what is wrong is found here, and finish_adding() does the rest before the memory is used. A file that
    /// turns out not to be mappable then is reached by messages.
    [[nodiscard]] int begin_adding(std::uint64_t iova, std::uint64_t size, DmaRights rights, Fd file,
                                   std::uint64_t offset);
    void finish_adding() noexcept;
    /// Removes a mapping exactly as it was added. ENOENT: there is none.
    [[nodiscard]] int remove(std::uint64_t iova, std::uint64_t size) noexcept;
    void clear() noexcept;
    std::size_t mappings() const noexcept { return mappings_.size(); }

    void set_bus_master(bool on) noexcept {
        generation_ += bus_master_ != on ? 1 : 0;
        bus_master_ = on;
    }
    /// Null: there is no client to ask. They outlive their use.
    void set_messages(DmaMessages* messages) noexcept { messages_ = messages; }
    /// Gets a line for a fault, for the first ones all, later fewer.
    void set_log(std::function<void(std::string_view)> log) { log_ = std::move(log); }

    static constexpr std::uint64_t page_size = 4096;
    static constexpr std::size_t max_mappings = 65535;

  private:
    struct Mapping {
        std::uint64_t iova = 0;
        std::uint64_t size = 0;
        DmaRights rights;
        GuardedMapping memory;  ///< empty: by messages
    };

    /// The part of some data that a fault lets through, and where to.
    struct Distorted {
        std::size_t offset = 0;
        std::size_t size = 0;
        std::uint64_t iova = 0;
    };

    std::optional<Distorted> distort(std::uint64_t iova, std::size_t size) noexcept;
    const Mapping* find(std::uint64_t iova) noexcept;
    template <class Byte, class Allowed, class Copy>
    bool transfer(std::uint64_t iova, std::span<Byte> data, Allowed allowed, Copy copy) noexcept;
    void count_fault(Counter& counter, const char* access, std::uint64_t iova, std::size_t size) noexcept;

    /// A mapping whose file is mapped later.
    struct Unfinished {
        std::uint64_t iova = 0;
        Fd file;
        std::uint64_t offset = 0;
    };

    FaultInjector& faults_;
    std::optional<Unfinished> unfinished_;
    std::vector<Mapping> mappings_;  ///< ascending, never overlapping
    std::size_t last_ = 0;           ///< where the last access was
    bool bus_master_ = false;
    std::uint64_t generation_ = 1;
    DmaMessages* messages_ = nullptr;
    std::function<void(std::string_view)> log_;
    DmaCounts counts_;
};

}  // namespace outboard::sim
