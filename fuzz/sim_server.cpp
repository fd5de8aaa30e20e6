// A simulated device's server with a client that lies: each model, and one that does DMA by messages. What
// the client ever sends lies in its socket before the server looks.
#include "outboard/backend/vfio_user/protocol.hpp"
#include "outboard/base/bytes.hpp"
#include "outboard/base/error.hpp"
#include "outboard/sim/model_table.hpp"
#include "outboard/sim/session.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"
#include "fuzz/virtual_time.hpp"
#include "tests/sim/test_model.hpp"
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace outboard::fuzz {
namespace {

using namespace vfio_user;

std::unique_ptr<sim::PciModel> make_model(Input& input) {
    const auto models = sim::built_in_models();
    const unsigned which = input.below(static_cast<unsigned>(models.size()) + 1);
    if (which == models.size())
        return std::make_unique<test::TestModel>();
    const sim::ModelDescription& description = *models[which];
    sim::ModelOptions options(description.options);
    if (description.name != "edu")
        options.set("size", "64K");
    return description.make(options);
}

/// The client: a stream of messages, most of them well formed.
class Client {
  public:
    Client(Input& input, int socket) : input_(input), socket_(socket) {}

    void send_all() {
        // Without a version nothing is answered: most clients begin with it.
        if (input_.below(16) != 15) {
            std::vector<std::byte> body;
            append(body, Version{.major = major_version, .minor = minor_version});
            send(Command::version, body);
        }
        for (unsigned left = 64; left > 0 && !input_.empty(); --left)
            send_one();
    }

    /// Reads what was answered, so that there is room for more.
    void take_answers() const {
        std::array<std::byte, 65536> bytes{};
        while (::recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT) > 0)
            ;
    }

  private:
    template <class T>
    static void append(std::vector<std::byte>& bytes, const T& value) {
        const auto part = bytes_of(value);
        bytes.insert(bytes.end(), part.begin(), part.end());
    }

    void append_input(std::vector<std::byte>& bytes, std::size_t size) {
        const auto part = input_.take_bytes(size);
        bytes.insert(bytes.end(), part.begin(), part.end());
    }

    Fd file(unsigned kind) {
        if (kind == 1)
            return Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        Fd memory(::memfd_create("client", MFD_CLOEXEC));
        require(memory && ::ftruncate(memory.get(), input_.below(9) * 4096L) == 0, "there is memory");
        return memory;
    }

    void send_one() {
        static constexpr std::array commands{
            Command::dma_map,      Command::dma_unmap,          Command::device_info,
            Command::region_info,  Command::interrupt_info,     Command::set_interrupts,
            Command::region_read,  Command::region_write,       Command::region_read,
            Command::region_write, Command::region_write_multi, Command::device_reset};
        const unsigned which = input_.below(commands.size() + 3);
        std::vector<std::byte> body;
        descriptors_.clear();
        flags_ = 0;
        if (which >= commands.size()) {
            // Any command with any flags, also answers to the server's own, and anything in them.
            for (unsigned left = input_.below(4); left > 0; --left)
                descriptors_.push_back(file(input_.below(2)));
            const auto command = static_cast<Command>(input_.take<std::uint8_t>());
            flags_ = input_.take<std::uint8_t>();
            append_input(body, input_.take<std::uint8_t>());
            send(command, body);
            return;
        }
        add_body(commands[which], body);
        const unsigned odd = input_.below(16);
        if (odd == 1 && !body.empty())
            body.resize(input_.take<std::uint8_t>() % body.size());
        if (odd == 2 && !body.empty())
            body[input_.take<std::uint8_t>() % body.size()] =
                static_cast<std::byte>(input_.take<std::uint8_t>());
        if (odd == 3)
            flags_ = header_flag::no_reply;
        send(commands[which], body);
    }

    void add_body(Command command, std::vector<std::byte>& body) {
        const std::uint64_t page = input_.below(32) * 4096ULL;
        switch (command) {
            case Command::dma_map:
                if (input_.flag())
                    descriptors_.push_back(file(0));
                append(body, DmaMap{.argument_size = sizeof(DmaMap),
                                    .flags = input_.below(4),
                                    .offset = input_.below(4) * 4096ULL,
                                    .address = page,
                                    .size = input_.below(9) * 4096ULL});
                break;
            case Command::dma_unmap:
                append(body, DmaUnmap{.argument_size = sizeof(DmaUnmap),
                                      .flags = input_.below(16) == 15 ? unmap_flag::all : 0U,
                                      .address = page,
                                      .size = input_.below(9) * 4096ULL});
                break;
            case Command::device_info:
                append(body,
                       DeviceInfo{
                           .argument_size = sizeof(DeviceInfo), .flags = 0, .regions = 0, .interrupts = 0});
                break;
            case Command::region_info:
                append(body, RegionInfo{.argument_size = input_.take<std::uint8_t>(),
                                        .flags = 0,
                                        .index = input_.below(10),
                                        .capability_offset = 0,
                                        .size = 0,
                                        .offset = 0});
                break;
            case Command::interrupt_info:
                append(body, InterruptInfo{.argument_size = sizeof(InterruptInfo),
                                           .flags = 0,
                                           .index = input_.below(6),
                                           .count = 0});
                break;
            case Command::set_interrupts: {
                const unsigned events = input_.below(6);
                for (unsigned i = 0; i < events; ++i)
                    descriptors_.push_back(file(1));
                append(body, SetInterrupts{.argument_size = std::uint32_t{sizeof(SetInterrupts)} +
                                                            (input_.flag() ? 4U : 0U),
                                           .flags = input_.take<std::uint8_t>() & 0x3fU,
                                           .index = input_.below(6),
                                           .start = input_.below(4),
                                           .count = input_.flag() ? events : input_.below(8)});
                append_input(body, input_.below(8));
                break;
            }
            case Command::region_read:
                append(body, access(input_.flag() ? 1U << input_.below(4) : input_.take<std::uint16_t>()));
                break;
            case Command::region_write: {
                const RegionAccess where = access(1U << input_.below(4));
                append(body, where);
                append_input(body, where.count);
                body.resize(sizeof where + where.count);
                break;
            }
            case Command::region_write_multi: {
                const std::uint64_t writes = input_.below(4);
                append(body, WriteMulti{.writes = writes});
                for (unsigned i = 0; i < writes; ++i) {
                    const RegionAccess where = access(1U << input_.below(4));
                    WriteMultiEntry entry{
                        .offset = where.offset, .region = where.region, .count = where.count, .data = {}};
                    const auto data = input_.take_bytes(sizeof entry.data);
                    std::memcpy(entry.data, data.data(), data.size());
                    append(body, entry);
                }
                break;
            }
            default:
                break;
        }
    }

    RegionAccess access(std::uint32_t count) {
        const auto where = input_.take<std::uint8_t>();
        std::uint64_t offset = input_.take<std::uint16_t>();
        if ((where & 0x80) != 0)
            offset = input_.take<std::uint64_t>();
        else if ((where & 0x40) == 0)
            offset &= 0xff;
        return {.offset = offset, .region = where % 10U, .count = count};
    }

    void send(Command command, std::span<const std::byte> body) {
        Header header{.message_id = id_++,
                      .command = static_cast<std::uint16_t>(std::to_underlying(command)),
                      .size = static_cast<std::uint32_t>(sizeof(Header) + body.size()),
                      .flags = flags_,
                      .error = 0};
        if (input_.below(64) == 63)
            header.size = input_.take<std::uint32_t>();
        std::array<iovec, 2> parts{
            iovec{.iov_base = &header, .iov_len = sizeof header},
            iovec{.iov_base = const_cast<std::byte*>(body.data()), .iov_len = body.size()}};
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(8 * sizeof(int))> control{};
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        if (!descriptors_.empty()) {
            message.msg_control = control.data();
            message.msg_controllen = CMSG_SPACE(descriptors_.size() * sizeof(int));
            cmsghdr* const head = CMSG_FIRSTHDR(&message);
            head->cmsg_level = SOL_SOCKET;
            head->cmsg_type = SCM_RIGHTS;
            head->cmsg_len = CMSG_LEN(descriptors_.size() * sizeof(int));
            for (std::size_t i = 0; i < descriptors_.size(); ++i) {
                const int fd = descriptors_[i].get();
                std::memcpy(CMSG_DATA(head) + i * sizeof fd, &fd, sizeof fd);
            }
        }
        // What finds no room in the socket is not sent.
        static_cast<void>(::sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
    }

    Input& input_;
    int socket_;
    std::uint16_t id_ = 1;
    std::uint32_t flags_ = 0;
    std::vector<Fd> descriptors_;
};

/// Serves as Server does, without waiting for anything.
void serve(sim::PciModel& model, sim::Session& session, const Client& client) {
    constexpr unsigned most_looks = 64;
    int error = 0;
    while (error == 0) {
        pass_time(std::chrono::milliseconds(1));
        model.timers().run(Clock::now());
        for (unsigned look = 0; look < most_looks && model.poll() == sim::Polled::worked; ++look)
            ;
        error = session.step(TimePoint::min());
        client.take_answers();
    }
    require(error > 0 && !session.end_cause(error).empty(), "an end has a reason");
}

}  // namespace

void run(Input input) {
    reset_time();
    const auto model = make_model(input);
    std::array<int, 2> sockets{};
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) == 0, "there are sockets");
    const Fd ours(sockets[0]);
    model->plug_in();
    {
        sim::Session session(*model, Fd(sockets[1]), Duration::zero());
        Client client(input, ours.get());
        client.send_all();
        serve(*model, session, client);
    }
    require(model->dma().mappings() == 0, "nothing of a client stays mapped when it has left");
}

}  // namespace outboard::fuzz
