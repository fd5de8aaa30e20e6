// ioctl(2) on VFIO descriptors.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include <sys/ioctl.h>

namespace outboard::vfio {

/// The ioctl's result, or a negative errno value.
template <class Argument>
int call(int fd, unsigned long request, Argument argument) noexcept {
    const int result = ::ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}

/// Asks for an answer of type Info that may be longer than sizeof(Info); `info` says which one is meant.
/// Gives the whole answer in `bytes`. Returns 0 or an errno value.
template <class Info>
int ask(int fd, unsigned long request, Info info, std::vector<std::byte>& bytes) {
    constexpr std::uint32_t sane = 1 << 20;
    std::uint32_t size = sizeof(Info);
    for (;;) {
        bytes.assign(size, std::byte{0});
        info.argsz = size;
        std::memcpy(bytes.data(), &info, sizeof info);
        if (const int result = call(fd, request, bytes.data()); result < 0)
            return -result;
        std::uint32_t wanted = 0;
        std::memcpy(&wanted, bytes.data(), sizeof wanted);
        if (wanted <= size || wanted > sane)
            return wanted > sane ? EPROTO : 0;
        size = wanted;
    }
}

}  // namespace outboard::vfio
