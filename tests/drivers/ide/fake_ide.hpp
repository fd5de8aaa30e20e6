// A PCI IDE controller with ATA disks as registers and DMA memory, for tests of drivers: it is written from
// the specifications a second time, knows nothing of any driver, and notes every access that they do not
// allow.
#pragma once

#include "outboard/backend/backend.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace outboard::testing {

/// A disk behind a channel.
struct FakeDisk {
    std::string model = "FAKE DISK";
    std::string serial = "0001";
    std::uint64_t sectors = 4096;
    std::map<std::uint64_t, std::array<std::byte, 512>> written;  ///< sectors that were written
    bool lba48 = true;
    bool dma = true;
    bool fua = false;
    bool write_cache = true;
    bool packet = false;
    std::uint8_t transfer_mode = 0x45;
    std::map<std::uint64_t, std::uint8_t> bad;  ///< sector → error register of a command that touches it
    unsigned crc_errors = 0;                    ///< this many DMA commands end with ICRC
    unsigned flushes = 0;
    std::set<std::uint64_t> trimmed;
};

/// What a disk was told.
struct FakeCommand {
    unsigned channel = 0;
    unsigned unit = 0;
    std::uint8_t opcode = 0;
    std::uint64_t lba = 0;
    std::uint32_t count = 0;
    std::uint8_t features = 0;
    friend bool operator==(const FakeCommand&, const FakeCommand&) = default;
};

/// One channel's faults: what it does wrong from now on.
struct FakeFaults {
    unsigned lost_interrupts = 0;  ///< this many ends are told to nobody
    unsigned hangs = 0;  ///< this many commands, but for IDENTIFY and SET FEATURES, stay busy until reset
    unsigned stuck_requests = 0;   ///< this many DMA commands end with DRQ still set
    unsigned short_transfers = 0;  ///< this many DMA commands end before all data has moved
    unsigned bus_errors = 0;       ///< this many DMA commands fail on the PCI bus
    bool reset_hangs = false;      ///< software reset never ends
    bool gone = false;             ///< every register reads as all ones
};

class FakeIde final : public Backend {
  public:
    struct Options {
        std::uint16_t vendor = 0x8086;
        std::uint16_t device = 0x7010;
        std::uint8_t programming_interface = 0x80;  ///< 0x8f: both channels native
        bool interrupt_pin = false;
        bool bus_master = true;
        unsigned latency = 3;  ///< looks at a status until a command has ended
    };

    explicit FakeIde(const Options& options);

    /// The disk of channel and unit, to be filled in before the driver starts.
    FakeDisk& add_disk(unsigned channel, unsigned unit);
    FakeDisk& disk(unsigned channel, unsigned unit) {
        std::optional<FakeDisk>& place = channels_[channel].disks[unit];
        return place ? *place : add_disk(channel, unit);
    }
    FakeFaults& faults(unsigned channel) { return channels_[channel].faults; }

    std::vector<FakeCommand> commands;    ///< in order; those of IDENTIFY and SET FEATURES too
    std::vector<std::string> violations;  ///< accesses that the specifications do not allow
    unsigned status_reads = 0;            ///< looks of all kinds
    unsigned unmasks = 0;

    const std::string& name() const noexcept override { return name_; }
    RegionInfo region_info(RegionIndex region) const override;
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept override;
    int write_region(RegionIndex region, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override;
    std::span<std::byte> map_region(RegionIndex region, const MappableArea& area) override;
    InterruptInfo interrupt_info(InterruptKind kind) const override;
    void set_interrupts(InterruptKind kind, std::span<const int> eventfds) override;
    int mask_intx() noexcept override { return 0; }
    int unmask_intx() noexcept override;
    bool resettable() const noexcept override { return false; }
    void reset() override {}
    std::vector<IovaRange> iova_ranges() const override { return {{.first = 0x1000, .last = 0xfedfffff}}; }
    std::uint64_t dma_page_size() const noexcept override { return 4096; }
    void map_dma(const DmaMapping& mapping) override;
    void unmap_dma(std::uint64_t iova, std::uint64_t size) override;

  private:
    struct ChannelState {
        std::array<std::optional<FakeDisk>, 2> disks;
        FakeFaults faults;
        // Command block. Two bytes each: the current content and the previous one.
        std::array<std::array<std::uint8_t, 2>, 8> registers{};
        std::uint8_t status = 0x50;
        std::uint8_t error = 0;
        std::uint8_t control = 0;
        bool interrupt = false;
        std::deque<std::byte> pio_out_of_device;
        std::vector<std::byte> pio_into_device;
        std::size_t pio_wanted = 0;
        std::function<void()> after_busy;  ///< what happens when `looks` have passed
        unsigned looks = 0;
        std::function<void()> dma;  ///< waits for the bus master
        // Bus master.
        std::uint8_t bm_command = 0;
        std::uint8_t bm_status = 0;
        std::uint32_t bm_table = 0;
    };

    std::uint32_t read_command_block(unsigned index, std::uint64_t offset, std::size_t size);
    void write_command_block(unsigned index, std::uint64_t offset, std::uint32_t value, std::size_t size);
    std::uint8_t read_status(ChannelState& channel);
    std::uint32_t read_bus_master(unsigned index, std::uint64_t offset, std::size_t size);
    void write_bus_master(unsigned index, std::uint64_t offset, std::uint32_t value, std::size_t size);
    void write_control(unsigned index, std::uint8_t value);
    void start_command(unsigned index, std::uint8_t opcode);
    void pass_time(ChannelState& channel);
    void busy(ChannelState& channel, std::function<void()> then) const;
    void finish(ChannelState& channel, std::uint8_t error = 0);
    void raise(ChannelState& channel);
    void fail_at(ChannelState& channel, std::uint64_t lba, std::uint8_t error, bool extended);
    void start_dma(unsigned index);
    void run_dma(unsigned index, std::uint64_t lba, std::uint32_t sectors, bool to_disk, bool extended);
    void run_trim(unsigned index, std::uint32_t blocks);
    void start_pio(unsigned index, std::uint64_t lba, std::uint32_t sectors, bool to_disk, bool extended);
    void next_pio_block(unsigned index, std::uint64_t lba, std::uint32_t left, bool to_disk, bool extended);
    std::optional<std::vector<std::byte*>> walk_table(ChannelState& channel, std::size_t bytes);
    std::byte* memory(std::uint64_t iova, std::size_t size);
    std::array<std::uint16_t, 256> identify_words(const FakeDisk& disk) const;
    void set_signature(ChannelState& channel);
    void violate(std::string text) { violations.push_back(std::move(text)); }
    FakeDisk* selected(ChannelState& channel) {
        auto& disk = channel.disks[channel.registers[6][0] >> 4 & 1];
        return disk ? &*disk : nullptr;
    }
    bool native() const { return (options_.programming_interface & 1) != 0; }

    std::string name_ = "fake:ide";
    Options options_;
    std::array<std::uint8_t, 256> config_{};
    std::array<ChannelState, 2> channels_;
    std::map<std::uint64_t, std::span<std::byte>> mappings_;
    int eventfd_ = -1;
    bool masked_ = false;
};

}  // namespace outboard::testing
