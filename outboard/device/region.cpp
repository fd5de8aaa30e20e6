#include "outboard/device/region.hpp"

#include "outboard/base/error.hpp"

#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

/// One access of exactly `size` bytes; memcpy could split it or make it wider.
template <class To, class From>
void copy_once(void* to, const void* from) noexcept {
    *static_cast<To*>(to) = *static_cast<From*>(from);
}

}  // namespace

void Region::check(std::uint64_t offset, std::uint64_t size) const {
    if (offset <= size_ && size <= size_ - offset)
        return;
    throw Error({.kind = ErrorKind::failed,
                 .action = fmt::format("use bytes {:#x} to {:#x} of region {} of", offset, offset + size - 1,
                                       std::to_underlying(index_)),
                 .subject = backend_->name(),
                 .cause = fmt::format("the region has {:#x} bytes", size_),
                 .remedy = {}});
}

void Region::throw_access(int error, const char* action, std::uint64_t offset) const {
    throw_errno(error,
                fmt::format("{} offset {:#x} of region {} of", action, offset, std::to_underlying(index_)),
                backend_->name());
}

int Region::read(std::uint64_t offset, void* data, std::size_t size) const noexcept {
    const std::byte* const from = mapped_at(offset, size);
    if (from == nullptr)
        return backend_->read_region(index_, offset, {static_cast<std::byte*>(data), size});
    switch (size) {
        case 1:
            copy_once<std::uint8_t, const volatile std::uint8_t>(data, from);
            return 0;
        case 2:
            copy_once<std::uint16_t, const volatile std::uint16_t>(data, from);
            return 0;
        case 4:
            copy_once<std::uint32_t, const volatile std::uint32_t>(data, from);
            return 0;
        default:
            copy_once<std::uint64_t, const volatile std::uint64_t>(data, from);
            return 0;
    }
}

int Region::write(std::uint64_t offset, const void* data, std::size_t size) const noexcept {
    std::byte* const to = mapped_at(offset, size);
    if (to == nullptr)
        return backend_->write_region(index_, offset, {static_cast<const std::byte*>(data), size});
    switch (size) {
        case 1:
            copy_once<volatile std::uint8_t, const std::uint8_t>(to, data);
            return 0;
        case 2:
            copy_once<volatile std::uint16_t, const std::uint16_t>(to, data);
            return 0;
        case 4:
            copy_once<volatile std::uint32_t, const std::uint32_t>(to, data);
            return 0;
        default:
            copy_once<volatile std::uint64_t, const std::uint64_t>(to, data);
            return 0;
    }
}

}  // namespace outboard
