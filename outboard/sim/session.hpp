// One client's connection: messages in, answers out, and the device's DMA by message in between.
#pragma once

#include "outboard/backend/vfio_user/message.hpp"
#include "outboard/sim/dma_memory.hpp"
#include "outboard/sim/request_handler.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

namespace outboard::sim {

/// Serves one connected socket. When it goes the client's mappings and eventfds go, and the device stays as
/// it is. One thread.
class Session final : private DmaMessages {
  public:
    /// `model` outlives it. The client may take `patience` to read an answer, or to answer a DMA message; it
    /// may map the shared areas of the model with `share_memory`.
    Session(PciModel& model, Fd socket, Duration patience, bool share_memory = true);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    Session(Session&&) = delete;
    Session& operator=(Session&&) = delete;
    ~Session();

    /// For poll.
    int fd() const noexcept { return socket_.fd(); }
    /// Messages, or parts of one, that poll does not know of.
    bool has_buffered() const noexcept { return !early_.empty() || socket_.has_buffered(); }

    /// Waits for the next message and answers it. 0: done; ETIMEDOUT: none came, or not all of it; anything
    /// else: the connection has ended, end_cause() says why.
    [[nodiscard]] int step(TimePoint deadline) noexcept;

    /// Half a sentence.
    std::string end_cause(int error) const;

  private:
    /// A command that came while the client was asked for memory.
    struct Early {
        vfio_user::Message message;
        std::vector<std::byte> body;
    };

    bool read(std::uint64_t iova, std::span<std::byte> data) noexcept override;
    bool write(std::uint64_t iova, std::span<const std::byte> data) noexcept override;

    int answer(vfio_user::Message& request) noexcept;
    int ask(vfio_user::Command command, const vfio_user::DmaAccessMessage& access,
            std::span<const std::byte> data, vfio_user::Message& reply) noexcept;
    int await_reply(const vfio_user::Header& asked, TimePoint deadline, vfio_user::Message& reply);
    int keep(vfio_user::Message& message);
    int end(int error, const char* problem) noexcept;

    PciModel& model_;
    Duration patience_;
    vfio_user::MessageSocket socket_;
    RequestHandler handler_;
    vfio_user::Message message_;
    std::deque<Early> early_;
    std::size_t early_bytes_ = 0;
    std::uint16_t last_id_ = 0;
    int ended_ = 0;  ///< why the stream cannot be used any more
    const char* problem_ = "";
};

}  // namespace outboard::sim
