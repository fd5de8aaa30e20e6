// What a client asks for, and the answers, without the socket (vfio-user 0.1, "Protocol Specification").
#pragma once

#include "outboard/backend/vfio_user/message.hpp"
#include "outboard/sim/negotiation.hpp"
#include "outboard/sim/pci_model.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace outboard::sim {

/// An answer. With an error it is a header alone.
struct Reply {
    int error = 0;                    ///< 0 or an errno value
    std::span<const std::byte> body;  ///< valid until the next request
    int descriptor = -1;              ///< to go with it; the model's
};

/// Answers the requests of one client, in order. One thread.
class RequestHandler {
  public:
    /// The client may map the shared areas of the model with `share_memory`.
    RequestHandler(PciModel& model, bool share_memory) : model_(model), share_memory_(share_memory) {}

    /// Takes one command with its descriptors; those that nobody keeps are closed. Never throws: what cannot
    /// be done is an error in the reply.
    Reply handle(vfio_user::Message& request) noexcept;

    /// Known once the version message was answered.
    const ClientLimits& client() const noexcept { return client_; }
    /// No version could be agreed on: the connection has to end after the reply.
    bool refused() const noexcept { return refused_; }

  private:
    Reply answer(vfio_user::Message& request);
    Reply version(std::span<const std::byte> body);
    Reply dma_map(vfio_user::Message& request);
    Reply dma_unmap(std::span<const std::byte> body);
    Reply device_info(std::span<const std::byte> body);
    Reply region_info(std::span<const std::byte> body);
    Reply fault_port_info(vfio_user::RegionInfo info, const vfio_user::RegionInfo& asked);
    Reply interrupt_info(std::span<const std::byte> body);
    Reply set_interrupts(vfio_user::Message& request);
    Reply region_read(std::span<const std::byte> body);
    Reply region_write(std::span<const std::byte> body);
    Reply region_write_multi(std::span<const std::byte> body);

    template <class T>
    Reply reply_with(const T& value);
    template <class T>
    void append(const T& value);

    PciModel& model_;
    bool share_memory_;
    ClientLimits client_;
    bool agreed_ = false;
    bool refused_ = false;
    std::vector<std::byte> body_;  ///< of the reply
};

}  // namespace outboard::sim
