// A virtio block device, simulated (Virtio 1.2, 5.2).
#pragma once

#include "outboard/base/endian.hpp"
#include "outboard/sim/model_options.hpp"
#include "outboard/sim/models/virtio/device.hpp"
#include "outboard/sim/storage.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace outboard::sim::virtio_blk {

/// What a simulated disk is made of.
struct Options {
    /// block_size is offered as blk_size; with a write cache the disk begins in write-back mode.
    StorageOptions storage{};
    std::string serial = "OUTBOARD0001";  ///< at most 20 printable characters
    std::uint16_t queues = 4;             ///< 1 … 256; MSI-X has a vector for each, and one more
    std::uint16_t queue_size = 256;       ///< descriptors, a power of two, 2 … 1024
    std::uint32_t seg_max = 0;            ///< segments of a request; 0: two less than the queue's size
    std::uint32_t size_max = 0;           ///< bytes of a segment; 0: any
    bool packed = false;
    bool indirect = true;
    bool event_index = true;
    bool iommu_platform = true;
    bool msix = true;
    bool read_only = false;
    bool discard = true;
    bool write_zeroes = true;
    bool cache_switch = true;  ///< offers VIRTIO_BLK_F_CONFIG_WCE
    Duration latency{};        ///< of requests, from when they are fetched
};

/// Throws Error (kind usage) that says what is wrong, if anything is.
void check(const Options& options);

/// struct virtio_blk_config, as far as it is used here (5.2.4).
struct Configuration {
    Le64 capacity;  ///< in sectors of 512 bytes
    Le32 size_max;
    Le32 seg_max;
    Le32 geometry;
    Le32 block_size;
    std::uint8_t physical_block_exponent;
    std::uint8_t alignment_offset;
    Le16 min_io_size;
    Le32 opt_io_size;
    std::uint8_t write_back;
    std::uint8_t unused0;
    Le16 num_queues;
    Le32 max_discard_sectors;
    Le32 max_discard_segments;
    Le32 discard_sector_alignment;
    Le32 max_write_zeroes_sectors;
    Le32 max_write_zeroes_segments;
    std::uint8_t write_zeroes_may_unmap;
    std::array<std::uint8_t, 3> unused1;
};
static_assert(sizeof(Configuration) == 64 && offsetof(Configuration, block_size) == 20 &&
              offsetof(Configuration, write_back) == 32 &&
              offsetof(Configuration, max_discard_sectors) == 36 &&
              offsetof(Configuration, write_zeroes_may_unmap) == 56);

class Disk final : public virtio::VirtioDevice {
  public:
    /// Throws Error.
    explicit Disk(const Options& options);

    /// The disk says from now on that it has so many bytes, as after a change by its owner. Any thread.
    void announce_capacity(std::uint64_t bytes) noexcept { announced_.store(bytes); }
    /// The device can do nothing any more until it is reset, and says so (DEVICE_NEEDS_RESET). Any thread.
    void ask_for_reset() noexcept { asking_.store(true); }
    /// Power was cut and is back: writes in the volatile cache are lost as `seed` decides, and the device is
    /// reset. Throws Error.
    void cut_power(std::uint64_t seed);

  private:
    enum class Status : std::uint8_t { ok = 0, error = 1, unsupported = 2 };

    std::optional<std::uint32_t> execute(unsigned queue, const virtio::Chain& chain) override;
    std::span<const std::byte> configuration() override;
    void write_configuration(std::uint64_t offset, unsigned width, std::uint64_t value) override;
    void negotiated() override;
    void type_reset() override;
    void look_around() override;

    Status carry_out(std::uint32_t type, std::uint64_t sector);
    Status read_data(std::uint64_t sector);
    Status write_data(std::uint64_t sector);
    Status tell_serial();
    Status erase(bool discard);
    bool is_sensible(std::span<const virtio::Part> data) const noexcept;
    bool window_all(std::span<const virtio::Part> data, DmaRights rights);
    Durability durability() const noexcept;

    Options options_;
    Storage storage_;
    Configuration configuration_{};
    std::atomic<std::uint64_t> announced_{0};
    std::atomic<bool> asking_{false};
    // Of the request that is worked on.
    std::vector<virtio::Part> readable_;  ///< without its header
    std::vector<virtio::Part> writable_;  ///< without its status
    std::vector<std::span<std::byte>> windows_;
    std::vector<std::byte> buffer_;
};

/// The entry for the table of models.
extern const ModelDescription description;

}  // namespace outboard::sim::virtio_blk
