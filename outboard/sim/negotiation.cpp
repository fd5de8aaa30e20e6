#include "outboard/sim/negotiation.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/sim/dma_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace outboard::sim {

namespace {

using nlohmann::json;

/// The text between the version numbers and the zero byte that ends it; nothing when that byte is missing or
/// not the last.
std::optional<std::string_view> text_of(std::span<const std::byte> body) {
    const std::string_view text(reinterpret_cast<const char*>(body.data()), body.size());
    if (text.empty() || text.find('\0') != text.size() - 1)
        return std::nullopt;
    return text.substr(0, text.size() - 1);
}

/// Reads a number if it is there; false when it is no number of that range.
bool read_number(const json& capabilities, const char* name, std::uint32_t smallest, std::uint32_t& value) {
    const auto found = capabilities.find(name);
    if (found == capabilities.end())
        return true;
    if (!found->is_number_unsigned())
        return false;
    const auto number = found->get<std::uint64_t>();
    if (number < smallest)
        return false;
    value = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(number, std::numeric_limits<std::uint32_t>::max()));
    return true;
}

json own_capabilities() {
    return {{"max_msg_fds", max_message_descriptors},
            {"max_data_xfer_size", max_transfer_bytes},
            {"max_dma_maps", DmaMemory::max_mappings},
            {"pgsizes", DmaMemory::page_size},
            {"write_multiple", true}};
}

Agreement refused(int error) {
    Agreement agreement;
    agreement.error = error;
    return agreement;
}

}  // namespace

Agreement negotiate(std::span<const std::byte> body) {
    const auto proposed = read_at<vfio_user::Version>(body, 0);
    if (!proposed)
        return refused(EINVAL);
    if (proposed->major != vfio_user::major_version)
        return refused(EPROTONOSUPPORT);
    Agreement agreement;
    agreement.version = {.major = vfio_user::major_version,
                         .minor = std::min(proposed->minor, vfio_user::minor_version)};
    json offered = json::object();
    if (const auto rest = body.subspan(sizeof(vfio_user::Version)); !rest.empty()) {
        const auto text = text_of(rest);
        if (!text)
            return refused(EINVAL);
        json document = json::parse(*text, nullptr, false);
        if (!document.is_object())
            return refused(EINVAL);
        // Not copied: a copy takes a stack as deep as the text is nested.
        if (const auto found = document.find("capabilities"); found != document.end())
            offered = std::move(*found);
        if (!offered.is_object() ||
            !read_number(offered, "max_msg_fds", 0, agreement.client.message_descriptors) ||
            !read_number(offered, "max_data_xfer_size", 1, agreement.client.transfer_bytes))
            return refused(EINVAL);
    }
    json agreed = json::object();
    const json own = own_capabilities();
    for (const auto& [name, value] : own.items())
        if (offered.contains(name))
            agreed[name] = value;
    agreement.capabilities = json({{"capabilities", agreed}}).dump() + '\0';
    return agreement;
}

}  // namespace outboard::sim
