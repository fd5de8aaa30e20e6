// Descriptors that outlive outboardd: a process that does nothing but hold them, so that the next outboardd
// goes on where one that was killed has left off. (What systemd's descriptor store is for a service.)
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/base/packet_socket.hpp"

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace outboard {

/// What is kept under one name.
struct KeptEntry {
    std::string name;
    nlohmann::json state;
    std::vector<Fd> descriptors;
};

/// The keeper's side: serves on a listening socket until it is told to end. Throws Error.
void keep_descriptors(Fd listener);

/// The other side. Each call waits for the answer, at most some seconds, and throws Error. One thread.
class DescriptorKeeper {
  public:
    /// Connects to the keeper at the socket `path`; starts `program` as one where there is none.
    DescriptorKeeper(const std::filesystem::path& path, const std::filesystem::path& program);

    /// Copies of everything that it keeps.
    std::vector<KeptEntry> list();
    /// Keeps copies of these, and nothing else, under the name: at most PacketSocket::max_descriptors.
    void put(const std::string& name, const nlohmann::json& state, std::span<const int> descriptors);
    /// On return its copies are closed.
    void remove(const std::string& name);
    /// Lets it end, with everything that it keeps.
    void dismiss();

  private:
    Packet next();
    void request(const nlohmann::json& document, std::span<const int> descriptors = {});

    PacketSocket socket_;
};

}  // namespace outboard
