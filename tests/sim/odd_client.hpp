// A vfio-user client that is made of bytes: it sends what a test wants, right or wrong. It shares the wire
// structures of the protocol with the server and nothing else.
#pragma once

#include "outboard/backend/vfio_user/protocol.hpp"
#include "outboard/base/bytes.hpp"
#include "outboard/base/fd.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace outboard::test {

using Bytes = std::vector<std::byte>;

/// The bytes of one value after the other.
template <class... Values>
Bytes bytes_in_order(const Values&... values) {
    Bytes all;
    const auto add = [&all](std::span<const std::byte> part) {
        all.insert(all.end(), part.begin(), part.end());
    };
    (add(bytes_of(values)), ...);
    return all;
}

struct Answer {
    vfio_user::Header header{};
    Bytes body;
    std::vector<Fd> descriptors;

    /// The T that starts `offset` bytes into the body; a failure of the test when it is too short.
    template <class T>
    T as(std::size_t offset = 0) const {
        const auto value = read_at<T>(body, offset);
        if (!value)
            fail("a reply is too short");
        return value.value_or(T{});
    }
    /// 0, or the errno value of an error reply; -1 when the reply contradicts itself.
    int error() const;

  private:
    static void fail(const char* text);
};

class OddClient {
  public:
    explicit OddClient(const std::filesystem::path& socket);

    int fd() const noexcept { return socket_.get(); }

    /// Bytes as they are.
    void send_bytes(std::span<const std::byte> bytes, std::initializer_list<int> descriptors = {});
    /// A command with the right header; `flags` are more flags of it.
    void send(vfio_user::Command command, std::span<const std::byte> body = {},
              std::initializer_list<int> descriptors = {}, std::uint32_t flags = 0);
    /// The next message, or nothing when the server has closed. A failure of the test after 10 s.
    std::optional<Answer> receive();

    /// Sends a command and gives its reply, whose header must fit.
    Answer ask(vfio_user::Command command, const Bytes& body = {},
               std::initializer_list<int> descriptors = {});
    template <class T>
        requires std::is_trivially_copyable_v<T>
    Answer ask(vfio_user::Command command, const T& value, std::initializer_list<int> descriptors = {}) {
        return ask(command, bytes_in_order(value), descriptors);
    }

    /// The version message with these capabilities as JSON; it must be agreed to.
    void shake_hands(std::string_view capabilities = R"({"max_msg_fds":16})");

    std::uint64_t read(std::uint32_t region, std::uint64_t offset, std::uint32_t width);
    void write(std::uint32_t region, std::uint64_t offset, std::uint32_t width, std::uint64_t value);

    /// The server still answers.
    bool works();
    /// The server has closed the connection, with or without a last message.
    bool closed();

    void hang_up() { socket_.reset(); }

    std::uint16_t next_id = 100;

  private:
    bool receive_exactly(std::span<std::byte> bytes, std::vector<Fd>& descriptors);

    Fd socket_;
};

}  // namespace outboard::test
