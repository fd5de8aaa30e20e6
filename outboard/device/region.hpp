// A BAR or port range of a device, and typed access to the registers in it.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/base/registers.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace outboard {

/// A checked window of `Size` bytes inside a Region. Its accesses need no bounds check: the window was
/// checked when it was made, and a register that does not fit into `Size` does not compile. Mapped memory is
/// accessed directly; port ranges and unmapped regions go through the backend. Cheap to copy; valid as long
/// as its Device.
///
/// A backend access that fails (the device was removed) reads as all ones, which is what a bus gives for a
/// missing device, and drops writes; `failed()` tells.
template <std::size_t Size>
class RegisterBlock;

/// A part of a region in the process's memory.
struct MappedArea {
    std::uint64_t offset = 0;  ///< in the region
    std::span<std::byte> memory;
};

/// One region of an opened device.
class Region {
  public:
    /// Made by Device, which owns `areas`: the parts that are mapped. The rest is reached by calls.
    Region(Backend& backend, RegionIndex index, std::uint64_t size,
           std::span<const MappedArea> areas) noexcept
        : backend_(&backend), index_(index), size_(size), areas_(areas) {}

    RegionIndex index() const noexcept { return index_; }
    std::uint64_t size() const noexcept { return size_; }
    /// True when all of it is mapped.
    bool mapped() const noexcept { return !mapping().empty(); }
    /// The whole region's memory; empty unless all of it is mapped. Access it through volatile pointers only.
    std::span<std::byte> mapping() const noexcept {
        return {mapped_at(0, size_), mapped_at(0, size_) != nullptr ? size_ : 0};
    }

    /// The window [offset, offset + Size). It is mapped when it lies in one mapped part: doorbells that a
    /// device shares are in a block of their own. Throws Error when it does not lie inside the region.
    template <std::size_t Size>
    RegisterBlock<Size> block(std::uint64_t offset = 0) const {
        check(offset, Size);
        return RegisterBlock<Size>(*this, offset);
    }

    /// One access of sizeof(T) bytes at any offset, checked each time: for tools, not for data paths. Throws
    /// Error.
    template <std::unsigned_integral T>
    T load(std::uint64_t offset) const {
        check(offset, sizeof(T));
        T value{};
        if (const int error = read(offset, &value, sizeof value); error != 0)
            throw_access(error, "read from", offset);
        return value;
    }
    template <std::unsigned_integral T>
    void store(std::uint64_t offset, T value) const {
        check(offset, sizeof(T));
        if (const int error = write(offset, &value, sizeof value); error != 0)
            throw_access(error, "write to", offset);
    }

  private:
    template <std::size_t Size>
    friend class RegisterBlock;

    void check(std::uint64_t offset, std::uint64_t size) const;
    [[noreturn]] void throw_access(int error, const char* action, std::uint64_t offset) const;
    int read(std::uint64_t offset, void* data, std::size_t size) const noexcept;
    int write(std::uint64_t offset, const void* data, std::size_t size) const noexcept;
    int write_run(std::uint64_t offset, std::span<const std::byte> data, std::size_t width) const noexcept {
        return backend_->write_run(index_, offset, data, width);
    }

    /// Where bytes [offset, offset + size) are mapped in one piece; nullptr when they are not.
    std::byte* mapped_at(std::uint64_t offset, std::uint64_t size) const noexcept {
        for (const MappedArea& area : areas_)
            if (offset >= area.offset && offset - area.offset <= area.memory.size() &&
                size <= area.memory.size() - (offset - area.offset))
                return area.memory.data() + (offset - area.offset);
        return nullptr;
    }

    Backend* backend_;
    RegionIndex index_;
    std::uint64_t size_;
    std::span<const MappedArea> areas_;
};

template <std::size_t Size>
class RegisterBlock {
  public:
    /// One read on the bus.
    template <Readable R>
    Value<R> read() const noexcept {
        static_assert(R::offset + sizeof(typename R::Raw) <= Size, "the register lies outside this block");
        return Value<R>(load<typename R::Raw>(R::offset));
    }

    /// One write on the bus, of exactly this value.
    template <Writable R>
    void write(Value<R> value) const noexcept {
        static_assert(R::offset + sizeof(typename R::Raw) <= Size, "the register lies outside this block");
        store<typename R::Raw>(R::offset, value.raw());
    }

    /// One write on the bus for each of registers that lie side by side, in ascending order; a backend is
    /// called once.
    template <Writable First, Writable... Rest>
    void write_run(Value<First> first, Value<Rest>... rest) const noexcept {
        using Raw = typename First::Raw;
        static_assert((std::is_same_v<typename Rest::Raw, Raw> && ...), "registers of different widths");
        static_assert(side_by_side<First, Rest...>(), "the registers do not lie side by side");
        static_assert(First::offset + (1 + sizeof...(Rest)) * sizeof(Raw) <= Size,
                      "a register lies outside this block");
        const std::array<Raw, 1 + sizeof...(Rest)> values{first.raw(), rest.raw()...};
        if (base_) {
            for (std::size_t i = 0; i < values.size(); ++i)
                store<Raw>(First::offset + i * sizeof(Raw), values[i]);
        } else if (region_.write_run(offset_ + First::offset, std::as_bytes(std::span(values)),
                                     sizeof(Raw)) != 0) {
            failed_ = true;
        }
    }

    /// Clears the given write-one-to-clear bits and no others: reads the register first so that its other
    /// writable bits keep their value.
    template <class R, unsigned... Positions>
        requires Readable<R> && Writable<R>
    void clear(Bit<R, Positions>... bits) const noexcept {
        using Raw = typename R::Raw;
        constexpr auto chosen = static_cast<Raw>((Bit<R, Positions>::template mask<Raw>() | ...));
        static_assert((chosen & static_cast<Raw>(~R::write_one_to_clear)) == 0,
                      "not a write-one-to-clear bit");
        const auto kept = static_cast<Raw>(read<R>().raw() & static_cast<Raw>(~R::write_one_to_clear));
        write<R>(Value<R>(static_cast<Raw>(kept | chosen)));
        ((void)bits, ...);
    }

    /// Reads, lets `change` make a new value of it, writes that. Write-one-to-clear bits are written as zero,
    /// so none of them is cleared by accident.
    template <class R, class Change>
        requires Readable<R> && Writable<R>
    void modify(Change&& change) const noexcept {
        using Raw = typename R::Raw;
        const Value<R> value = change(read<R>());
        write<R>(Value<R>(static_cast<Raw>(value.raw() & static_cast<Raw>(~R::write_one_to_clear))));
    }

    /// True once an access through the backend has failed; such reads gave all ones.
    bool failed() const noexcept { return failed_; }

  private:
    friend class Region;

    RegisterBlock(const Region& region, std::uint64_t offset) noexcept
        : base_(region.mapped_at(offset, Size)), region_(region), offset_(offset) {}

    template <class... Registers>
    static consteval bool side_by_side() {
        std::size_t next = 0;
        bool first = true;
        bool together = true;
        ((together = together && (first || Registers::offset == next), first = false,
          next = Registers::offset + sizeof(typename Registers::Raw)),
         ...);
        return together;
    }

    template <class T>
    T load(std::size_t offset) const noexcept {
        if (base_)
            return *reinterpret_cast<const volatile T*>(base_ + offset);
        T value{};
        if (region_.read(offset_ + offset, &value, sizeof value) != 0) {
            failed_ = true;
            return static_cast<T>(~T{0});
        }
        return value;
    }

    template <class T>
    void store(std::size_t offset, T value) const noexcept {
        if (base_) {
            *reinterpret_cast<volatile T*>(base_ + offset) = value;
        } else if (region_.write(offset_ + offset, &value, sizeof value) != 0) {
            failed_ = true;
        }
    }

    std::byte* base_;
    Region region_;
    std::uint64_t offset_;
    mutable bool failed_ = false;
};

}  // namespace outboard
