#include "outboard/backend/vfio_user/version.hpp"

#include "outboard/base/bytes.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace outboard::vfio_user {

namespace {

using Json = nlohmann::json;
using Problem = std::unexpected<std::string>;

/// The kernel passes no more beside one message.
constexpr std::uint32_t kernel_max_descriptors = 253;
constexpr std::uint64_t process_page = 4096;
constexpr std::uint64_t largest_page = std::uint64_t{1} << 30;

/// Reads capability `name` into `value` when it is there; false when it is no whole number.
bool read_number(const Json& capabilities, const char* name, std::uint64_t& value) {
    const auto found = capabilities.find(name);
    if (found == capabilities.end())
        return true;
    if (!found->is_number_unsigned())
        return false;
    value = found->get<std::uint64_t>();
    return true;
}

/// The capabilities of the version data, an empty object when there are none, or what is wrong.
std::expected<Json, std::string> parse_capabilities(std::span<const std::byte> data) {
    // Until the zero byte, which belongs to the message; a reply without it is as clear.
    const auto end = std::ranges::find(data, std::byte{0});
    const std::string_view text(reinterpret_cast<const char*>(data.data()),
                                static_cast<std::size_t>(end - data.begin()));
    if (text.empty())
        return Json::object();
    Json document = Json::parse(text, nullptr, false);
    if (!document.is_object())
        return Problem("its version data is no JSON object");
    const auto found = document.find("capabilities");
    if (found == document.end())
        return Json::object();
    if (!found->is_object())
        return Problem("its capabilities are no JSON object");
    // Not copied: a copy takes a stack as deep as the text is nested.
    return std::move(*found);
}

/// Empty, or what is wrong.
std::string read_twin_socket(const Json& capabilities, std::size_t descriptors, ServerVersion& version) {
    const auto twin = capabilities.find("twin_socket");
    if (twin == capabilities.end())
        return {};
    if (!twin->is_object())
        return "its twin_socket is no JSON object";
    const auto supported = twin->find("supported");
    if (supported == twin->end() || *supported == false)
        return {};
    const auto index = twin->find("fd_index");
    if (*supported != true || index == twin->end() || !index->is_number_unsigned() ||
        index->get<std::uint64_t>() >= descriptors)
        return "it says that it has a twin socket, but not which of the descriptors it is";
    version.twin_socket = index->get<std::size_t>();
    return {};
}

std::uint32_t clamp(std::uint64_t value, std::uint32_t most) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, most));
}

}  // namespace

std::string version_proposal() {
    const Json document{{"capabilities",
                         {{"max_msg_fds", client_max_descriptors},
                          {"max_data_xfer_size", client_max_transfer_bytes},
                          {"max_dma_maps", default_max_dma_maps},
                          {"pgsizes", process_page},
                          {"twin_socket", {{"supported", true}}},
                          {"write_multiple", true}}}};
    std::string text = document.dump();
    text.push_back('\0');
    return text;
}

std::expected<ServerVersion, std::string> parse_version(std::span<const std::byte> body,
                                                        std::size_t descriptors) {
    const auto numbers = read_at<Version>(body, 0);
    if (!numbers)
        return Problem("its version message is too short");
    if (numbers->major != major_version || numbers->minor > minor_version)
        return Problem(fmt::format("it speaks version {}.{} of the protocol, which is not {}.{} or lower",
                                   numbers->major, numbers->minor, major_version, minor_version));
    const auto capabilities = parse_capabilities(body.subspan(sizeof(Version)));
    if (!capabilities)
        return Problem(capabilities.error());

    std::uint64_t max_descriptors = default_max_message_descriptors;
    std::uint64_t max_transfer = default_max_transfer_bytes;
    std::uint64_t max_maps = default_max_dma_maps;
    std::uint64_t page_sizes = process_page;
    for (const auto& [name, value] :
         {std::pair("max_msg_fds", &max_descriptors), std::pair("max_data_xfer_size", &max_transfer),
          std::pair("max_dma_maps", &max_maps), std::pair("pgsizes", &page_sizes)})
        if (!read_number(*capabilities, name, *value))
            return Problem(fmt::format("its {} is no whole number", name));

    ServerVersion version;
    version.minor = numbers->minor;
    version.max_descriptors = clamp(max_descriptors, kernel_max_descriptors);
    version.max_transfer_bytes = clamp(max_transfer, client_max_transfer_bytes);
    if (version.max_transfer_bytes < sizeof(std::uint64_t))
        return Problem(fmt::format("it takes only {} bytes in one read or write; a register has up to 8",
                                   version.max_transfer_bytes));
    version.max_dma_maps = clamp(max_maps, std::numeric_limits<std::uint32_t>::max());
    if (page_sizes == 0 || std::uint64_t{1} << std::countr_zero(page_sizes) > largest_page)
        return Problem(
            fmt::format("its smallest page for DMA is not one of up to 1 GiB (pgsizes {:#x})", page_sizes));
    version.dma_page_size = std::max(process_page, std::uint64_t{1} << std::countr_zero(page_sizes));
    const auto multi = capabilities->find("write_multiple");
    version.write_multi = multi != capabilities->end() && *multi == true;
    if (std::string problem = read_twin_socket(*capabilities, descriptors, version); !problem.empty())
        return Problem(std::move(problem));
    return version;
}

}  // namespace outboard::vfio_user
