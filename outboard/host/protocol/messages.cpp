#include "outboard/host/protocol/messages.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace outboard {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BlockInfo, model, serial, firmware, capacity, block_size,
                                   physical_block_size, max_transfer, segment_alignment, segment_boundary,
                                   max_segments, max_discard, max_write_zeroes, queue_depth, max_queues,
                                   volatile_write_cache, force_unit_access, rotational)

namespace hosting {

namespace {

using nlohmann::json;

/// What messages are called on the socket, in the order of the variants.
constexpr std::array to_host_names{"enter", "take", "arena", "serve", "ping", "cease", "finish"};
constexpr std::array from_host_names{"hello",  "needs",  "disks",   "serving", "pong",
                                     "report", "failed", "ceasing", "finished"};
static_assert(to_host_names.size() == std::variant_size_v<ToHost>);
static_assert(from_host_names.size() == std::variant_size_v<FromHost>);

// Descriptions of a disk are at most some hundred bytes each.
constexpr std::size_t most_text = 256;

[[noreturn]] void throw_senseless(std::string cause) {
    throw Error({.kind = ErrorKind::failed,
                 .action = "understand",
                 .subject = "a message of another process",
                 .cause = std::move(cause),
                 .remedy = {}});
}

}  // namespace

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Enter, module, driver, user, group, disks, queues, device_socket)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Arena, bytes, iova)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Serve, disk, device_id, queues, queue_depth, max_io_bytes, flags,
                                   stable_writes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Ping, number)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Hello, version)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Needs, driver, bytes, address_bits)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Disk, number, info)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Disks, disks, start_us)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Serving, disk)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Pong, number)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Report, line)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Failed, kind, action, subject, cause, remedy)

static void to_json(json& document, const Take& take) {
    document = {
        {"device", take.device}, {"driver", take.driver},           {"disks", take.disks},
        {"queues", take.queues}, {"queue_depth", take.queue_depth}, {"timeout_seconds", take.timeout_seconds},
        {"dma", take.dma},       {"completion", take.completion}};
    if (take.write_cache)
        document["write_cache"] = *take.write_cache;
}

static void from_json(const json& document, Take& take) {
    document.at("device").get_to(take.device);
    document.at("driver").get_to(take.driver);
    document.at("disks").get_to(take.disks);
    document.at("queues").get_to(take.queues);
    document.at("queue_depth").get_to(take.queue_depth);
    document.at("timeout_seconds").get_to(take.timeout_seconds);
    document.at("dma").get_to(take.dma);
    document.at("completion").get_to(take.completion);
    if (document.contains("write_cache"))
        take.write_cache = document.at("write_cache").get<bool>();
}

/// Messages that say nothing but their name.
template <class T>
concept Bare = std::is_empty_v<T>;

template <Bare T>
void to_json(json& document, const T& /*message*/) {
    document = json::object();
}
template <Bare T>
void from_json(const json& /*document*/, T& /*message*/) {}

namespace {

template <class Message>
std::string encode_as(const Message& message, const char* name) {
    json document = std::visit([](const auto& one) { return json(one); }, message);
    document["message"] = name;
    // Names of devices may hold any bytes; JSON is UTF-8.
    return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

template <class Message, std::size_t Index = 0>
Message decode_alternative(const json& document, std::size_t wanted) {
    if constexpr (Index < std::variant_size_v<Message>) {
        if (wanted == Index)
            return document.get<std::variant_alternative_t<Index, Message>>();
        return decode_alternative<Message, Index + 1>(document, wanted);
    } else {
        throw_senseless("it is of no known sort");
    }
}

template <class Message, std::size_t Count>
Message decode_as(std::string_view text, const std::array<const char*, Count>& names) {
    try {
        const json document = json::parse(text);
        const auto name = document.at("message").get<std::string>();
        const auto found = std::ranges::find(names, name);
        return decode_alternative<Message>(document, static_cast<std::size_t>(found - names.begin()));
    } catch (const json::exception& error) {
        throw_senseless(error.what());
    }
}

}  // namespace

std::string encode(const ToHost& message) {
    return encode_as(message, to_host_names[message.index()]);
}

std::string encode(const FromHost& message) {
    return encode_as(message, from_host_names[message.index()]);
}

ToHost decode_to_host(std::string_view text) {
    return decode_as<ToHost>(text, to_host_names);
}

FromHost decode_from_host(std::string_view text) {
    return decode_as<FromHost>(text, from_host_names);
}

Failed describe(const Error& error) {
    const ErrorParts& parts = error.parts();
    return {.kind = static_cast<int>(parts.kind),
            .action = parts.action,
            .subject = parts.subject,
            .cause = parts.cause,
            .remedy = parts.remedy};
}

Error error_of(const Failed& failed) {
    const bool known = failed.kind > static_cast<int>(ErrorKind::failed) &&
                       failed.kind <= static_cast<int>(ErrorKind::timed_out);
    return Error({.kind = known ? static_cast<ErrorKind>(failed.kind) : ErrorKind::failed,
                  .action = failed.action,
                  .subject = failed.subject,
                  .cause = failed.cause,
                  .remedy = failed.remedy});
}

void require_sound(const BlockInfo& info, const std::string& device) {
    constexpr std::uint32_t largest_block = 64 * 1024;
    const auto is_block = [](std::uint32_t size) {
        return std::has_single_bit(size) && size >= 512 && size <= largest_block;
    };
    const bool names_fit = info.model.size() <= most_text && info.serial.size() <= most_text &&
                           info.firmware.size() <= most_text;
    if (names_fit && is_block(info.block_size) && is_block(info.physical_block_size) && info.capacity != 0 &&
        info.capacity % info.block_size == 0 && info.max_queues != 0 && info.queue_depth != 0)
        return;
    throw Error({.kind = ErrorKind::failed,
                 .action = "use a disk of",
                 .subject = device,
                 .cause = fmt::format("its driver describes it wrongly: {} bytes in blocks of {} ({}), {} "
                                      "queues of {}",
                                      info.capacity, info.block_size, info.physical_block_size,
                                      info.max_queues, info.queue_depth),
                 .remedy = {}});
}

}  // namespace hosting

}  // namespace outboard
