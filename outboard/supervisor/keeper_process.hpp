// The keeper of descriptors where no service manager is one: a process that does nothing else.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/base/packet_socket.hpp"
#include "outboard/supervisor/descriptor_keeper.hpp"

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace outboard {

/// The keeper's side: serves on a listening socket until it is told to end. Throws Error.
void keep_descriptors(Fd listener);

/// The other side.
class KeeperProcess final : public DescriptorKeeper {
  public:
    /// Connects to the keeper at the socket `path`; starts `program` as one where there is none. Throws
    /// Error.
    KeeperProcess(const std::filesystem::path& path, const std::filesystem::path& program);

    std::vector<KeptEntry> list() override;
    void put(const std::string& name, const nlohmann::json& state, std::span<const int> descriptors) override;
    void remove(const std::string& name) override;
    void dismiss() override;

  private:
    Packet next();
    void request(const nlohmann::json& document, std::span<const int> descriptors = {});

    PacketSocket socket_;
};

}  // namespace outboard
