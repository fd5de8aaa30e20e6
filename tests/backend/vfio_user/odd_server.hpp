// A vfio-user server for tests that can be told to do anything. It speaks in raw bytes and shares no code
// with the client but the layout of the messages. Left alone it is a conforming server of a small device.
#pragma once

#include "outboard/backend/vfio_user/protocol.hpp"
#include "outboard/base/fd.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace outboard::vfio_user::test {

using Bytes = std::vector<std::byte>;

template <class T>
Bytes to_bytes(const T& value) {
    const auto* const first = reinterpret_cast<const std::byte*>(&value);
    return {first, first + sizeof value};
}
inline Bytes to_bytes(const std::string& text) {
    const auto* const first = reinterpret_cast<const std::byte*>(text.data());
    return {first, first + text.size()};
}
inline Bytes joined(std::initializer_list<Bytes> parts) {
    Bytes whole;
    for (const Bytes& part : parts)
        whole.insert(whole.end(), part.begin(), part.end());
    return whole;
}
inline Bytes first_of(Bytes bytes, std::size_t size) {
    bytes.resize(size);
    return bytes;
}
/// The T at the start of `bytes`, which are long enough.
template <class T>
T from_bytes(const Bytes& bytes) {
    T value{};
    std::copy_n(bytes.begin(), std::min(sizeof value, bytes.size()), reinterpret_cast<std::byte*>(&value));
    return value;
}

/// A message as it came.
struct Request {
    Header header{};
    Bytes body;
    std::vector<Fd> descriptors;
    Command command() const { return static_cast<Command>(header.command); }
};

/// Raw messages on a socket; failures of the socket are silent, the test sees their consequence.
class RawSocket {
  public:
    explicit RawSocket(Fd fd) : fd_(std::move(fd)) {}
    void send(std::span<const std::byte> bytes, std::span<const int> descriptors = {}) const;
    /// False once the other end has closed.
    bool receive(Request& request) const;
    int fd() const { return fd_.get(); }
    void shut_down() const;

  private:
    Fd fd_;
};

class OddServer {
  public:
    using Handler = std::function<void(const Request&)>;

    /// Listens on a path of its own; serves one client once start() is called.
    OddServer();
    ~OddServer();
    OddServer(const OddServer&) = delete;
    OddServer& operator=(const OddServer&) = delete;
    OddServer(OddServer&&) = delete;
    OddServer& operator=(OddServer&&) = delete;

    const std::string& path() const { return path_; }
    void start();
    /// Until start(): what it does instead of the usual when this command comes. Runs on the server's thread.
    void on(Command command, Handler handler) { handlers_[command] = std::move(handler); }
    void set_capabilities(std::string json) { capabilities_ = std::move(json); }

    // ---- the device ----

    struct RegionSetup {
        std::uint32_t flags = region_flag::readable | region_flag::writable;
        Bytes content;
        std::uint64_t offset = 0;      ///< in the files
        Bytes capabilities;            ///< right behind the fixed part
        std::vector<int> descriptors;  ///< the test's own
    };
    std::map<std::uint32_t, RegionSetup> regions;
    std::map<std::uint32_t, InterruptInfo> interrupts;

    // ---- from handlers and from the test ----

    /// Answers as the usual handler would.
    void usual(const Request& request);
    static Header reply_header(const Request& request);
    void reply(const Request& request, const Bytes& body, std::span<const int> descriptors = {}) const;
    void reply_error(const Request& request, std::uint32_t error) const;
    const RawSocket& client() const { return *client_; }
    void close_client() const { client_->shut_down(); }

    /// The requests so far, as commands with their bodies.
    std::vector<std::pair<Command, Bytes>> log() const;
    std::vector<Bytes> bodies(Command command) const;
    /// How many descriptors came with each request of this kind.
    std::vector<std::size_t> descriptor_counts(Command command) const;
    /// Waits until the client has closed.
    void join();

    std::map<std::pair<std::uint32_t, std::uint32_t>, Fd> eventfds;  ///< (kind, vector); after join()

  private:
    void serve();
    void usual_region_info(const Request& request) const;
    void usual_access(const Request& request);
    void usual_write_multi(const Request& request);

    std::string path_;
    Fd listener_;
    std::string capabilities_;
    std::map<Command, Handler> handlers_;
    std::unique_ptr<RawSocket> client_;
    mutable std::mutex mutex_;
    std::vector<std::pair<Command, Bytes>> log_;
    std::vector<std::pair<Command, std::size_t>> counts_;
    std::thread thread_;
};

}  // namespace outboard::vfio_user::test
