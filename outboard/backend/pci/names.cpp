#include "outboard/backend/pci/names.hpp"

#include "outboard/base/file.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include <fmt/format.h>

namespace outboard {

namespace {

struct Entry {
    std::uint32_t id = 0;
    std::string_view name;
};

/// "8086  Intel Corporation": a hexadecimal number of `digits` digits, two blanks, a name.
std::optional<Entry> read_entry(std::string_view line, std::size_t digits) {
    Entry entry;
    if (line.size() < digits + 3 || line.substr(digits, 2) != "  ")
        return std::nullopt;
    const std::string_view number = line.substr(0, digits);
    const char* const number_end = std::to_address(number.end());
    const auto [end, error] = std::from_chars(std::to_address(number.begin()), number_end, entry.id, 16);
    if (error != std::errc() || end != number_end)
        return std::nullopt;
    entry.name = line.substr(digits + 2);
    return entry;
}

const std::string* find(const std::map<std::uint32_t, std::string>& names, std::uint32_t id) {
    const auto found = names.find(id);
    return found != names.end() ? &found->second : nullptr;
}

}  // namespace

// A vendor's line starts at the margin, its devices' lines with one tab, their subsystems' with two. Classes
// follow in the same manner, "C 01  Mass storage controller".
PciNames::PciNames(std::string_view text) {
    std::optional<std::uint32_t> vendor;
    std::optional<std::uint32_t> base_class;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        if (line.empty() || line.starts_with('#') || line.starts_with("\t\t"))
            continue;
        if (line.starts_with('\t')) {
            const auto entry = read_entry(line.substr(1), vendor ? 4 : 2);
            if (entry && vendor)
                devices_.emplace(*vendor << 16 | entry->id, entry->name);
            else if (entry && base_class)
                sub_classes_.emplace(*base_class << 8 | entry->id, entry->name);
            continue;
        }
        vendor.reset();
        base_class.reset();
        if (const auto entry = read_entry(line, 4)) {
            vendor = entry->id;
            vendors_.emplace(entry->id, entry->name);
        } else if (const auto class_entry =
                       line.starts_with("C ") ? read_entry(line.substr(2), 2) : std::optional<Entry>()) {
            base_class = class_entry->id;
            classes_.emplace(class_entry->id, class_entry->name);
        }
    }
}

PciNames PciNames::load(const std::filesystem::path& path) {
    return PciNames(try_read_text(path).value_or(""));
}

std::string PciNames::device(const PciIdentity& identity) const {
    const std::string* vendor = find(vendors_, identity.vendor);
    const std::string* name =
        find(devices_, static_cast<std::uint32_t>(identity.vendor) << 16 | identity.device);
    if (vendor && name)
        return *vendor + " " + *name;
    if (vendor)
        return fmt::format("{} {:04x}:{:04x}", *vendor, identity.vendor, identity.device);
    return fmt::format("{:04x}:{:04x}", identity.vendor, identity.device);
}

std::string PciNames::device_class(const PciIdentity& identity) const {
    const std::uint32_t code = static_cast<std::uint32_t>(identity.base_class) << 8 | identity.sub_class;
    if (const std::string* name = find(sub_classes_, code))
        return *name;
    if (const std::string* name = find(classes_, identity.base_class))
        return *name;
    return fmt::format("class {:04x}", code);
}

}  // namespace outboard
