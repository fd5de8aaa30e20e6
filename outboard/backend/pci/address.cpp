#include "outboard/backend/pci/address.hpp"

#include "outboard/base/error.hpp"

#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace outboard {

namespace {

/// Takes a hexadecimal number of `least` to `most` digits, not above `maximum`, from the front of `text`.
std::optional<std::uint32_t> take_hex(std::string_view& text, std::size_t least, std::size_t most,
                                      std::uint32_t maximum) noexcept {
    std::uint32_t value = 0;
    const std::string_view digits = text.substr(0, most);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    const auto length = static_cast<std::size_t>(end - digits.data());
    if (error != std::errc() || length < least || value > maximum)
        return std::nullopt;
    text.remove_prefix(length);
    return value;
}

bool take(std::string_view& text, char expected) noexcept {
    if (!text.starts_with(expected))
        return false;
    text.remove_prefix(1);
    return true;
}

std::optional<PciAddress> read(std::string_view text) noexcept {
    const auto domain = take_hex(text, 4, 8, 0xffffffff);
    if (!domain || !take(text, ':'))
        return std::nullopt;
    const auto bus = take_hex(text, 2, 2, 0xff);
    if (!bus || !take(text, ':'))
        return std::nullopt;
    const auto device = take_hex(text, 2, 2, 0x1f);
    if (!device || !take(text, '.'))
        return std::nullopt;
    const auto function = take_hex(text, 1, 1, 7);
    if (!function || !text.empty())
        return std::nullopt;
    return PciAddress{.domain = *domain,
                      .bus = static_cast<std::uint8_t>(*bus),
                      .device = static_cast<std::uint8_t>(*device),
                      .function = static_cast<std::uint8_t>(*function)};
}

}  // namespace

bool PciAddress::has_form(std::string_view text) noexcept {
    return read(text).has_value();
}

PciAddress PciAddress::parse(std::string_view text) {
    const auto address = read(text);
    if (!address)
        throw Error(
            {.kind = ErrorKind::usage,
             .action = "find the PCI device",
             .subject = fmt::format("'{}'", text),
             .cause = "that is not a PCI address in full, such as 0000:00:04.0 (domain:bus:device.function)",
             .remedy = "`outboard list` shows the devices of this machine"});
    return *address;
}

std::string PciAddress::text() const {
    return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, device, function);
}

}  // namespace outboard
