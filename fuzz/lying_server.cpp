#include "fuzz/lying_server.hpp"

#include "outboard/base/bytes.hpp"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace outboard::fuzz {

namespace {

using namespace vfio_user;

constexpr std::string_view capabilities =
    R"({"capabilities":{"max_msg_fds":8,"max_data_xfer_size":65536,"pgsizes":4096,"write_multiple":true}})";
constexpr std::size_t file_bytes = 0x4000;

TimePoint soon() {
    return Clock::now() + std::chrono::seconds(1);
}

}  // namespace

template <class T>
void LyingServer::append(Bytes& bytes, const T& value) {
    const auto part = bytes_of(value);
    bytes.insert(bytes.end(), part.begin(), part.end());
}

LyingServer::LyingServer(Fd socket, Input input) : input_(input), socket_(std::move(socket)) {}

void LyingServer::serve(Fd socket, Input input) {
    LyingServer server(std::move(socket), input);
    Message request;
    while (server.socket_.receive(request, soon()) == 0) {
        // Answers to this server's own commands may come in between.
        if (!request.is_reply() && !server.answer(request))
            return;
        request.descriptors.clear();
    }
}

/// False when the server leaves.
bool LyingServer::answer(Message& request) {
    enum Kind : unsigned { honest, command, change, replace, refuse, wrong_header, raw, files, leave };
    descriptors_.clear();
    Header header{.message_id = request.header.message_id,
                  .command = request.header.command,
                  .size = 0,
                  .flags = header_flag::type_reply,
                  .error = 0};
    Bytes body = right_answer(request);
    const unsigned kind = input_.below(18);  // most of the time it is honest
    switch (kind) {
        case command:
            for (unsigned left = 1 + input_.below(3); left > 0; --left)
                send_command();
            break;
        case change:
            for (unsigned left = 1 + input_.below(8); left > 0 && !body.empty(); --left) {
                std::byte& changed = body[input_.take<std::uint16_t>() % body.size()];
                changed = static_cast<std::byte>(input_.take<std::uint8_t>());
            }
            break;
        case replace: {
            const auto bytes = input_.take_bytes(input_.take<std::uint16_t>() % 512);
            body.resize(input_.flag() ? body.size() : 0);
            body.insert(body.end(), bytes.begin(), bytes.end());
            break;
        }
        case refuse:
            header.flags |= header_flag::error;
            header.error = input_.take<std::uint8_t>();
            body.clear();
            break;
        case wrong_header:
            header.message_id = static_cast<std::uint16_t>(header.message_id + input_.take<std::uint8_t>());
            header.command = static_cast<std::uint16_t>(header.command + input_.take<std::uint8_t>());
            header.flags = input_.take<std::uint8_t>();
            header.error = input_.take<std::uint32_t>();
            break;
        case raw: {
            const auto bytes = input_.take_bytes(input_.take<std::uint8_t>());
            static_cast<void>(::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
            return false;
        }
        case files:
            for (unsigned left = input_.below(5); left > 0; --left)
                add_files();
            break;
        case leave:
            return false;
        default:
            break;
    }
    return send(header, body);
}

bool LyingServer::send(const Header& header, std::span<const std::byte> body) {
    return socket_.send(header, {body}, descriptors_, soon()) == 0;
}

/// One more descriptor than there should be: a file of some length, or of none.
void LyingServer::add_files() {
    Fd file(::memfd_create("server", MFD_CLOEXEC));
    if (!file || ::ftruncate(file.get(), input_.take<std::uint8_t>() * 1024L) != 0)
        return;
    descriptors_.push_back(file.get());
    files_.push_back(std::move(file));
}

/// A command of the server's own, of which the client may know none.
void LyingServer::send_command() {
    Header header{.message_id = input_.take<std::uint8_t>(),
                  .command = 0,
                  .size = 0,
                  .flags = input_.flag() ? header_flag::no_reply : header_flag::type_command,
                  .error = 0};
    const auto which = input_.below(4);
    header.command =
        static_cast<std::uint16_t>(std::to_underlying(which < 2    ? Command::dma_read
                                                      : which == 2 ? Command::dma_write
                                                                   : Command{input_.take<std::uint8_t>()}));
    DmaAccessMessage access{.address = input_.take<std::uint8_t>() * 0x400ULL,
                            .count = input_.take<std::uint16_t>()};
    if (input_.below(16) == 15) {
        access.address += input_.take<std::uint64_t>();
        access.count += input_.take<std::uint64_t>();
    }
    Bytes body;
    append(body, access);
    body.resize(body.size() +
                (which == 2 && input_.below(8) != 7 ? access.count & 0xffffU : input_.below(8)));
    static_cast<void>(socket_.send(header, {body}, {}, soon()));
}

LyingServer::Bytes LyingServer::right_answer(const Message& request) {
    Bytes body;
    switch (request.command()) {
        case Command::version:
            append(body, Version{.major = major_version, .minor = minor_version});
            for (const char c : capabilities)
                body.push_back(static_cast<std::byte>(c));
            body.push_back(std::byte{0});
            break;
        case Command::device_info:
            append(body, DeviceInfo{.argument_size = sizeof(DeviceInfo),
                                    .flags = device_flag::pci | device_flag::reset,
                                    .regions = pci_regions,
                                    .interrupts = interrupt_index::count});
            break;
        case Command::region_info:
            return region_info(request.body);
        case Command::interrupt_info: {
            const auto asked = read_at<InterruptInfo>(request.body, 0).value_or(InterruptInfo{});
            append(body, InterruptInfo{.argument_size = sizeof(InterruptInfo),
                                       .flags = interrupt_flag::eventfd | interrupt_flag::maskable,
                                       .index = asked.index,
                                       .count = asked.index == interrupt_index::msix ? 8U : 1U});
            break;
        }
        case Command::region_read: {
            const auto access = read_at<RegionAccess>(request.body, 0).value_or(RegionAccess{});
            append(body, access);
            body.resize(body.size() + std::min(access.count, 65536U));
            break;
        }
        case Command::region_write:
            append(body, read_at<RegionAccess>(request.body, 0).value_or(RegionAccess{}));
            break;
        case Command::region_write_multi:
            append(body, read_at<WriteMulti>(request.body, 0).value_or(WriteMulti{}));
            break;
        case Command::dma_unmap:
            append(body, read_at<DmaUnmap>(request.body, 0).value_or(DmaUnmap{}));
            break;
        default:
            break;
    }
    return body;
}

LyingServer::Bytes LyingServer::region_info(std::span<const std::byte> asked) {
    constexpr std::uint32_t access = region_flag::readable | region_flag::writable;
    const std::uint32_t index = read_at<RegionInfo>(asked, 0).value_or(RegionInfo{}).index;
    RegionInfo info{.argument_size = sizeof(RegionInfo),
                    .flags = access,
                    .index = index,
                    .capability_offset = 0,
                    .size = index == 7 ? 256U : 0U,
                    .offset = 0};
    Bytes body;
    if (index == 0)
        info.size = 0x1000;
    if (index == 2 || index == 4) {
        info.size = file_bytes;
        info.flags |= region_flag::mappable;
        Fd file(::memfd_create("bar", MFD_CLOEXEC));
        if (file && ::ftruncate(file.get(), file_bytes) == 0) {
            descriptors_.push_back(file.get());
            files_.push_back(std::move(file));
        }
    }
    if (index != 2) {
        append(body, info);
        return body;
    }
    info.flags |= region_flag::capabilities;
    info.capability_offset = sizeof info;
    info.argument_size = sizeof(RegionInfo) + sizeof(SparseMmap) + 2 * sizeof(SparseArea);
    append(body, info);
    append(body,
           SparseMmap{
               .header = {.id = sparse_mmap_capability, .version = 1, .next = 0}, .areas = 2, .reserved = 0});
    append(body, SparseArea{.offset = 0, .size = 0x1000});
    append(body, SparseArea{.offset = 0x2000, .size = 0x1000});
    return body;
}

}  // namespace outboard::fuzz
