#include "outboard/supervisor/keeper_process.hpp"

#include "outboard/base/error.hpp"
#include "outboard/supervisor/spawn.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>
#include <optional>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace outboard {

namespace {

using nlohmann::json;

constexpr int patience_ms = 10'000;

sockaddr_un address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.size() >= sizeof address.sun_path)
        throw_errno(ENAMETOOLONG, "use the socket", text);
    std::ranges::copy(text, address.sun_path);
    return address;
}

Fd make_socket() {
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket)
        throw_errno(errno, "make", "a socket");
    return socket;
}

bool connects(const Fd& socket, const sockaddr_un& address) {
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Fd listen_at(const std::filesystem::path& path, const sockaddr_un& address) {
    ::unlink(path.c_str());
    Fd listener = make_socket();
    // It holds what root opened: nobody else may ask.
    if (::fchmod(listener.get(), 0600) != 0 ||
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::chmod(path.c_str(), 0600) != 0 || ::listen(listener.get(), 4) != 0)
        throw_errno(errno, "listen on", path.string());
    return listener;
}

/// What a keeper holds, and what it answers.
class Shelf {
  public:
    /// Answers one request; false: it is the last one.
    bool answer(PacketSocket& client, Packet packet) {
        const json request = json::parse(packet.text);
        if (request.contains("put"))
            entries_[request.at("put").get<std::string>()] = std::move(packet);
        else if (request.contains("remove"))
            entries_.erase(request.at("remove").get<std::string>());
        else if (request.contains("list"))
            list(client);
        client.send(R"({"done":true})");
        return !request.contains("end");
    }

  private:
    void list(PacketSocket& client) const {
        for (const auto& [name, packet] : entries_) {
            std::vector<int> descriptors;
            for (const Fd& descriptor : packet.descriptors)
                descriptors.push_back(descriptor.get());
            client.send(packet.text, descriptors);
        }
    }

    std::map<std::string, Packet> entries_;
};

}  // namespace

void keep_descriptors(Fd listener) {
    Shelf shelf;
    for (;;) {
        Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!accepted)
            continue;
        PacketSocket client(std::move(accepted));
        try {
            for (;;) {
                pollfd readable{.fd = client.fd(), .events = POLLIN, .revents = 0};
                ::poll(&readable, 1, -1);
                std::optional<Packet> packet = client.receive();
                if (packet && !shelf.answer(client, std::move(*packet)))
                    return;
            }
        } catch (const std::exception&) {
            // That one is gone; what it left waits for the next.
        }
    }
}

KeeperProcess::KeeperProcess(const std::filesystem::path& path, const std::filesystem::path& program) {
    const sockaddr_un address = address_of(path);
    Fd socket = make_socket();
    if (!connects(socket, address)) {
        const Fd listener = listen_at(path, address);
        spawn(program, {"--keep"}, listener.get());
        socket = make_socket();
        if (!connects(socket, address))
            throw_errno(errno, "connect to", path.string());
    }
    socket_ = PacketSocket(std::move(socket));
}

Packet KeeperProcess::next() {
    for (;;) {
        if (std::optional<Packet> packet = socket_.receive())
            return std::move(*packet);
        pollfd readable{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
        if (::poll(&readable, 1, patience_ms) == 0)
            throw_errno(ETIMEDOUT, "hear from", "the keeper of descriptors",
                        "end another outboardd, which it may be serving");
    }
}

void KeeperProcess::request(const json& document, std::span<const int> descriptors) {
    socket_.send(document.dump(-1, ' ', false, json::error_handler_t::replace), descriptors);
}

std::vector<KeptEntry> KeeperProcess::list() {
    request({{"list", true}});
    std::vector<KeptEntry> entries;
    for (;;) {
        Packet packet = next();
        const json document = json::parse(packet.text);
        if (document.contains("done"))
            return entries;
        entries.push_back({.name = document.at("put").get<std::string>(),
                           .state = document.at("state"),
                           .descriptors = std::move(packet.descriptors)});
    }
}

void KeeperProcess::put(const std::string& name, const json& state, std::span<const int> descriptors) {
    request({{"put", name}, {"state", state}}, descriptors);
    next();
}

void KeeperProcess::remove(const std::string& name) {
    request({{"remove", name}});
    next();
}

void KeeperProcess::dismiss() {
    request({{"end", true}});
    next();
}

}  // namespace outboard
