#include "outboard/sim/set_interrupts.hpp"

#include "outboard/backend/vfio_user/protocol.hpp"
#include "outboard/base/bytes.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

namespace outboard::sim {

namespace {

using namespace vfio_user;

constexpr std::uint32_t data_flags = set_flag::data_none | set_flag::data_bool | set_flag::data_eventfd;
constexpr std::uint32_t action_flags =
    set_flag::action_mask | set_flag::action_unmask | set_flag::action_trigger;

/// Only eventfds: a write to anything else might wait, or end the process.
bool is_eventfd(const Fd& descriptor) {
    std::array<char, 64> target{};
    const ssize_t length =
        ::readlink(fmt::format("/proc/self/fd/{}", descriptor.get()).c_str(), target.data(), target.size());
    return length > 0 &&
           std::string_view(target.data(), static_cast<std::size_t>(length)) == "anon_inode:[eventfd]";
}

Interrupts::Event event_of(std::uint32_t action) noexcept {
    switch (action) {
        case set_flag::action_mask:
            return Interrupts::Event::mask;
        case set_flag::action_unmask:
            return Interrupts::Event::unmask;
        default:
            return Interrupts::Event::trigger;
    }
}

void act(Interrupts& interrupts, IrqKind kind, Interrupts::Event event, unsigned vector) noexcept {
    if (event == Interrupts::Event::trigger)
        interrupts.fire(kind, vector);
    else
        interrupts.set_masked(kind, vector, event == Interrupts::Event::mask);
}

}  // namespace

int set_interrupts(Interrupts& interrupts, std::span<const std::byte> body, std::vector<Fd>& descriptors) {
    const auto set = read_at<SetInterrupts>(body, 0);
    if (!set || set->argument_size < sizeof(SetInterrupts) || set->index >= irq_kinds)
        return EINVAL;
    const std::uint32_t data = set->flags & data_flags;
    const std::uint32_t action = set->flags & action_flags;
    if (!std::has_single_bit(data) || !std::has_single_bit(action) || set->flags != (data | action))
        return EINVAL;
    if (data != set_flag::data_eventfd && !descriptors.empty())
        return EINVAL;

    const auto kind = static_cast<IrqKind>(set->index);
    const Interrupts::Event event = event_of(action);
    if (set->count == 0) {
        if (set->start != 0 || data != set_flag::data_none || event != Interrupts::Event::trigger)
            return EINVAL;
        interrupts.disable(kind);
        return 0;
    }
    const unsigned vectors = interrupts.count(kind);
    if (set->start >= vectors || set->count > vectors - set->start)
        return EINVAL;

    if (data == set_flag::data_eventfd) {
        if (descriptors.empty()) {
            interrupts.disconnect(kind, event, set->start, set->count);
            return 0;
        }
        if (descriptors.size() != set->count || !std::ranges::all_of(descriptors, is_eventfd))
            return EINVAL;
        interrupts.connect(kind, event, set->start, descriptors);
        return 0;
    }
    const std::span<const std::byte> chosen = body.subspan(sizeof(SetInterrupts));
    if (data == set_flag::data_bool && chosen.size() < set->count)
        return EINVAL;
    for (unsigned i = 0; i < set->count; ++i)
        if (data == set_flag::data_none || chosen[i] != std::byte{0})
            act(interrupts, kind, event, set->start + i);
    return 0;
}

}  // namespace outboard::sim
