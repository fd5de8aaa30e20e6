// A vfio-user server that lies: it knows the right answer to each command, and the fuzzer says what it sends
// instead, or before it.
#pragma once

#include "outboard/backend/vfio_user/message.hpp"
#include "outboard/base/fd.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fuzz/input.hpp"

namespace outboard::fuzz {

/// Its device: BAR 0 by messages, BAR 2 shared in two pieces, BAR 4 shared as a whole, MSI-X.
class LyingServer {
  public:
    /// Serves one client on `socket`, until it leaves or the server does. The input is a list of what happens
    /// to one command after the other; once it is used up the server is honest.
    static void serve(Fd socket, Input input);

  private:
    using Bytes = std::vector<std::byte>;

    LyingServer(Fd socket, Input input);

    bool answer(vfio_user::Message& request);
    bool send(const vfio_user::Header& header, std::span<const std::byte> body);
    Bytes right_answer(const vfio_user::Message& request);
    Bytes region_info(std::span<const std::byte> body);
    void add_files();
    void send_command();
    template <class T>
    static void append(Bytes& bytes, const T& value);

    Input input_;
    vfio_user::MessageSocket socket_;
    std::vector<Fd> files_;
    std::vector<int> descriptors_;  ///< beside the answer
};

}  // namespace outboard::fuzz
