// A PCI device that a server in another process offers over a UNIX socket: the client of the vfio-user
// protocol.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/backend/device_name.hpp"
#include "outboard/backend/vfio_user/connection.hpp"
#include "outboard/backend/vfio_user/info.hpp"
#include "outboard/base/guarded_mapping.hpp"
#include "outboard/runtime/clock.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace outboard::vfio_user {

/// The first region behind those of PCI, if the server has one: what it is depends on the device.
inline constexpr RegionIndex first_region_of_device{9};

struct ClientOptions {
    Duration reply_limit = std::chrono::seconds(5);   ///< for the answer to any command but a reset
    Duration reset_limit = std::chrono::seconds(60);  ///< a reset may take long
};

/// An opened device. Once the server does not answer in time, closes or breaks the protocol, accesses give an
/// errno value and everything else throws, at once; only closing and unmapping then do nothing and succeed.
///
/// The server keeps memory that it has been given a descriptor of until it closes it; unmapping asks it to. A
/// server that does not comply holds on to the file, never to memory of this process.
class VfioUserBackend final : public Backend {
  public:
    /// Connects to the socket at `path`. Throws Error: no server, another client has it (busy), or the
    /// server's description of the device contradicts itself.
    static std::unique_ptr<VfioUserBackend> open(const std::string& path, const ClientOptions& options = {});

    /// The same over a socket that is connected already and in blocking mode. `name` is what messages call
    /// the device.
    static std::unique_ptr<VfioUserBackend> open_on(Fd socket, std::string name,
                                                    const ClientOptions& options = {});

    ~VfioUserBackend() override;

    const std::string& name() const noexcept override { return connection_.name(); }
    /// What was agreed on with the server.
    const ServerVersion& server() const noexcept { return connection_.server(); }

    outboard::RegionInfo region_info(RegionIndex region) const override { return place(region).info; }
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept override;
    int write_region(RegionIndex region, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override;
    int write_run(RegionIndex region, std::uint64_t offset, std::span<const std::byte> data,
                  std::size_t width) noexcept override;
    std::span<std::byte> map_region(RegionIndex region, const MappableArea& area) override;

    outboard::InterruptInfo interrupt_info(InterruptKind kind) const override {
        return interrupts(kind).info;
    }
    void set_interrupts(InterruptKind kind, std::span<const int> eventfds) override;
    int mask_intx() noexcept override;
    int unmask_intx() noexcept override;

    bool resettable() const noexcept override { return resettable_; }
    void reset() override;

    std::vector<IovaRange> iova_ranges() const override;
    std::uint64_t dma_page_size() const noexcept override { return server().dma_page_size; }
    /// Memory without a descriptor can be mapped too; the server then reads and writes it by messages, if it
    /// does that.
    void map_dma(const DmaMapping& mapping) override;
    /// Throws Error for what is not mapped. What the server thinks of it makes no difference: see above.
    void unmap_dma(std::uint64_t iova, std::uint64_t size) override;

  private:
    static constexpr std::size_t region_count = std::to_underlying(first_region_of_device) + std::size_t{1};

    struct Place {
        outboard::RegionInfo info;
        std::vector<GuardedMapping> mapped;  ///< for each of info.mappable
    };

    VfioUserBackend(Fd socket, std::string device_name, const ClientOptions& options);

    Place ask_region(RegionIndex region);
    ServerInterrupts ask_interrupts(InterruptKind kind);
    const Place& place(RegionIndex region) const noexcept { return places_[std::to_underlying(region)]; }
    const ServerInterrupts& interrupts(InterruptKind kind) const noexcept {
        return interrupts_[static_cast<std::size_t>(std::to_underlying(kind))];
    }
    int write_multi(RegionIndex region, std::uint64_t offset, std::span<const std::byte> data,
                    std::size_t width) noexcept;
    int send_eventfds(InterruptKind kind, std::size_t start, std::span<const int> eventfds) noexcept;
    int disable_interrupts() noexcept;
    int switch_intx(std::uint32_t action) noexcept;
    int clear_bus_master() noexcept;
    int release_dma(std::uint64_t iova, std::uint64_t size) noexcept;

    ClientOptions options_;
    Connection connection_;
    bool resettable_ = false;
    std::array<Place, region_count> places_;
    std::array<ServerInterrupts, 3> interrupts_;
    std::optional<InterruptKind> enabled_;
};

}  // namespace outboard::vfio_user
