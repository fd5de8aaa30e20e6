#include "fake_ide.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <sys/eventfd.h>

namespace outboard::testing {

namespace {

// Status register.
constexpr std::uint8_t bsy = 0x80;
constexpr std::uint8_t drdy = 0x40;
constexpr std::uint8_t dsc = 0x10;
constexpr std::uint8_t drq = 0x08;
constexpr std::uint8_t err = 0x01;
// Device Control register.
constexpr std::uint8_t hob = 0x80;
constexpr std::uint8_t srst = 0x04;
constexpr std::uint8_t nien = 0x02;
// Bus Master IDE Command and Status registers.
constexpr std::uint8_t bm_start = 0x01;
constexpr std::uint8_t bm_to_memory = 0x08;
constexpr std::uint8_t bm_active = 0x01;
constexpr std::uint8_t bm_error = 0x02;
constexpr std::uint8_t bm_interrupt = 0x04;
constexpr std::uint8_t bm_capable = 0x60;

unsigned channel_of(RegionIndex region, std::uint64_t offset) {
    if (region == RegionIndex::bar4)
        return offset / 8 & 1;
    return region == RegionIndex::bar2 || region == RegionIndex::bar3 ? 1 : 0;
}

}  // namespace

FakeIde::FakeIde(const Options& options) : options_(options) {
    const auto put16 = [&](std::size_t at, std::uint16_t value) {
        config_[at] = static_cast<std::uint8_t>(value);
        config_[at + 1] = static_cast<std::uint8_t>(value >> 8);
    };
    put16(0x00, options.vendor);
    put16(0x02, options.device);
    config_[0x04] = 0x01;
    config_[0x09] = options.programming_interface;
    config_[0x0a] = 0x01;
    config_[0x0b] = 0x01;
    config_[0x3d] = options.interrupt_pin ? 1 : 0;
    put16(0x40, 0x8000);  // both channels decode, on a PIIX
    put16(0x42, 0x8000);
    config_[0x51] = 0x08;  // the same on a CMD646
    for (ChannelState& channel : channels_) {
        channel.bm_status = bm_capable;
        channel.status = 0;
    }
}

FakeDisk& FakeIde::add_disk(unsigned channel, unsigned unit) {
    channels_[channel].status = drdy | dsc;
    return channels_[channel].disks[unit].emplace();
}

// ---- regions ----

RegionInfo FakeIde::region_info(RegionIndex region) const {
    RegionInfo info{.size = 0, .readable = true, .writable = true, .mappable = {}};
    switch (region) {
        case RegionIndex::bar0:
        case RegionIndex::bar2:
            info.size = 8;
            break;
        case RegionIndex::bar1:
        case RegionIndex::bar3:
            info.size = native() ? 4 : 1;
            break;
        case RegionIndex::bar4:
            info.size = options_.bus_master ? 16 : 0;
            break;
        case RegionIndex::config:
            info.size = 256;
            break;
        default:
            break;
    }
    return info;
}

int FakeIde::read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept {
    if (region == RegionIndex::config) {
        if (offset + data.size() > config_.size())
            return EINVAL;
        std::memcpy(data.data(), &config_[offset], data.size());
        return 0;
    }
    const unsigned channel = channel_of(region, offset);
    std::uint32_t value = 0xffffffff;
    if (!channels_[channel].faults.gone) {
        switch (region) {
            case RegionIndex::bar0:
            case RegionIndex::bar2:
                value = read_command_block(channel, offset, data.size());
                break;
            case RegionIndex::bar1:
            case RegionIndex::bar3:
                if (offset != (native() ? 2U : 0U) || data.size() != 1)
                    violate(fmt::format("read of {} bytes at {} of the control block", data.size(), offset));
                pass_time(channels_[channel]);
                value = read_status(channels_[channel]);
                break;
            case RegionIndex::bar4:
                value = read_bus_master(channel, offset % 8, data.size());
                break;
            default:
                violate("read of a region that does not exist");
                return EINVAL;
        }
    }
    std::memcpy(data.data(), &value, std::min(data.size(), sizeof value));
    return 0;
}

int FakeIde::write_region(RegionIndex region, std::uint64_t offset,
                          std::span<const std::byte> data) noexcept {
    if (region == RegionIndex::config) {
        if (offset + data.size() > config_.size())
            return EINVAL;
        std::memcpy(&config_[offset], data.data(), data.size());
        return 0;
    }
    std::uint32_t value = 0;
    std::memcpy(&value, data.data(), std::min(data.size(), sizeof value));
    const unsigned channel = channel_of(region, offset);
    if (channels_[channel].faults.gone)
        return 0;
    switch (region) {
        case RegionIndex::bar0:
        case RegionIndex::bar2:
            write_command_block(channel, offset, value, data.size());
            return 0;
        case RegionIndex::bar1:
        case RegionIndex::bar3:
            if (offset != (native() ? 2U : 0U) || data.size() != 1)
                violate(fmt::format("write of {} bytes at {} of the control block", data.size(), offset));
            write_control(channel, static_cast<std::uint8_t>(value));
            return 0;
        case RegionIndex::bar4:
            write_bus_master(channel, offset % 8, value, data.size());
            return 0;
        default:
            violate("write to a region that does not exist");
            return EINVAL;
    }
}

std::span<std::byte> FakeIde::map_region(RegionIndex, const MappableArea&) {
    violate("a port range was mapped");
    return {};
}

// ---- command block ----

std::uint8_t FakeIde::read_status(ChannelState& channel) {
    ++status_reads;
    if (!selected(channel))
        return 0;
    return channel.status;
}

std::uint32_t FakeIde::read_command_block(unsigned index, std::uint64_t offset, std::size_t size) {
    ChannelState& channel = channels_[index];
    if (offset == 0) {
        if (size != 2 && size != 4)
            violate("the data register is read in other than 2 or 4 bytes");
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < size; ++i) {
            if (channel.pio_out_of_device.empty()) {
                violate("data is read that the device does not offer");
                return value;
            }
            value |= std::to_integer<std::uint32_t>(channel.pio_out_of_device.front()) << (8 * i);
            channel.pio_out_of_device.pop_front();
        }
        if (channel.pio_out_of_device.empty() && channel.after_busy)
            std::exchange(channel.after_busy, nullptr)();
        return value;
    }
    if (size != 1) {
        violate(fmt::format("read of {} bytes at {} of the command block", size, offset));
        return 0xffffffff;
    }
    if (offset == 7) {
        pass_time(channel);
        channel.interrupt = false;
        return read_status(channel);
    }
    if (!selected(channel))
        return 0;
    if ((channel.status & bsy) != 0)
        violate(fmt::format("register {} is read while the device is busy", offset));
    if (offset == 1)
        return channel.error;
    return channel.registers[offset][(channel.control & hob) != 0 ? 1 : 0];
}

void FakeIde::write_command_block(unsigned index, std::uint64_t offset, std::uint32_t value,
                                  std::size_t size) {
    ChannelState& channel = channels_[index];
    if (offset == 0) {
        if (size != 2 && size != 4)
            violate("the data register is written in other than 2 or 4 bytes");
        if ((channel.status & drq) == 0 || channel.pio_into_device.size() + size > channel.pio_wanted) {
            violate("data is written that the device does not want");
            return;
        }
        for (std::size_t i = 0; i < size; ++i)
            channel.pio_into_device.push_back(static_cast<std::byte>(value >> (8 * i)));
        if (channel.pio_into_device.size() == channel.pio_wanted && channel.after_busy)
            std::exchange(channel.after_busy, nullptr)();
        return;
    }
    if (size != 1) {
        violate(fmt::format("write of {} bytes at {} of the command block", size, offset));
        return;
    }
    if ((channel.status & (bsy | drq)) != 0 || (channel.control & srst) != 0) {
        if (selected(channel))
            violate(
                fmt::format("register {} is written while the status is {:#04x}", offset, channel.status));
        if (offset != 6)
            return;
    }
    channel.control &= static_cast<std::uint8_t>(~hob);
    const auto byte = static_cast<std::uint8_t>(value);
    if (offset == 7) {
        start_command(index, byte);
        return;
    }
    channel.registers[offset][1] = channel.registers[offset][0];
    channel.registers[offset][0] = byte;
}

void FakeIde::write_control(unsigned index, std::uint8_t value) {
    ChannelState& channel = channels_[index];
    const bool was_reset = (channel.control & srst) != 0;
    channel.control = value;
    if ((value & srst) != 0) {
        channel.status = bsy;
        channel.after_busy = nullptr;
        channel.dma = nullptr;
        channel.pio_out_of_device.clear();
        channel.pio_wanted = 0;
        channel.interrupt = false;
        if ((channel.bm_command & bm_start) != 0)
            violate("software reset while the bus master is started");
    } else if (was_reset) {
        channel.registers[6][0] = 0;
        set_signature(channel);
        if (!channel.faults.reset_hangs)
            busy(channel, [&channel] { channel.status = drdy | dsc; });
    }
}

void FakeIde::set_signature(ChannelState& channel) {
    const auto& first = channel.disks[0];
    const bool packet = first && first->packet;
    channel.registers[2] = {1, 0};
    channel.registers[3] = {1, 0};
    channel.registers[4] = {static_cast<std::uint8_t>(packet ? 0x14 : 0), 0};
    channel.registers[5] = {static_cast<std::uint8_t>(packet ? 0xeb : 0), 0};
}

// ---- commands ----

void FakeIde::start_command(unsigned index, std::uint8_t opcode) {
    ChannelState& channel = channels_[index];
    FakeDisk* disk = selected(channel);
    if (!disk) {
        violate("a command for a device that is not there");
        return;
    }
    const bool extended = std::set<std::uint8_t>{0x06, 0x24, 0x25, 0x34, 0x35, 0x3d, 0xea}.contains(opcode);
    const auto low = [&](std::size_t reg) -> std::uint64_t { return channel.registers[reg][0]; };
    const auto high = [&](std::size_t reg) -> std::uint64_t { return channel.registers[reg][1]; };
    std::uint64_t lba = low(3) | low(4) << 8 | low(5) << 16;
    auto count = static_cast<std::uint32_t>(low(2));
    if (extended) {
        lba |= high(3) << 24 | high(4) << 32 | high(5) << 40;
        count |= static_cast<std::uint32_t>(high(2) << 8);
        count = count == 0 ? 65536 : count;
    } else {
        lba |= (low(6) & 0xf) << 24;
        count = count == 0 ? 256 : count;
    }
    commands.push_back({.channel = index,
                        .unit = static_cast<unsigned>(low(6) >> 4 & 1),
                        .opcode = opcode,
                        .lba = lba,
                        .count = count,
                        .features = channel.registers[1][0]});
    channel.error = 0;
    if (channel.faults.hangs > 0 && opcode != 0xec && opcode != 0xef) {
        --channel.faults.hangs;
        channel.status = bsy;
        return;
    }
    if (extended && !disk->lba48) {
        violate(fmt::format("a 48-bit command {:#04x} for a disk without them", opcode));
        busy(channel, [this, &channel] { finish(channel, 0x04); });
        return;
    }
    const bool addressed =
        std::set<std::uint8_t>{0x20, 0x24, 0x25, 0x30, 0x34, 0x35, 0x3d, 0xc8, 0xca}.contains(opcode);
    if (addressed && ((low(6) & 0x40) == 0 || lba + count > disk->sectors)) {
        violate(fmt::format("command {:#04x} without LBA addressing, or beyond the end", opcode));
        busy(channel, [this, &channel] { finish(channel, 0x10); });
        return;
    }
    switch (opcode) {
        case 0x20:
        case 0x24:
        case 0x30:
        case 0x34:
            start_pio(index, lba, count, opcode >= 0x30, extended);
            break;
        case 0x25:
        case 0x35:
        case 0x3d:
        case 0xc8:
        case 0xca: {
            if (opcode == 0x3d && !disk->fua)
                violate("WRITE DMA FUA EXT for a disk without it");
            const bool to_disk = opcode == 0x35 || opcode == 0x3d || opcode == 0xca;
            channel.status = bsy;
            channel.dma = [this, index, lba, count, to_disk, extended] {
                run_dma(index, lba, count, to_disk, extended);
            };
            break;
        }
        case 0x06:
            channel.status = bsy;
            channel.dma = [this, index, count] { run_trim(index, count); };
            break;
        case 0xe7:
        case 0xea:
            ++disk->flushes;
            busy(channel, [this, &channel] { finish(channel); });
            break;
        case 0xec: {
            const auto words = identify_words(*disk);
            busy(channel, [this, &channel, words] {
                for (const std::uint16_t word : words) {
                    channel.pio_out_of_device.push_back(static_cast<std::byte>(word));
                    channel.pio_out_of_device.push_back(static_cast<std::byte>(word >> 8));
                }
                channel.status = drdy | dsc | drq;
                channel.after_busy = [&channel] { channel.status = drdy | dsc; };
                raise(channel);
            });
            break;
        }
        case 0xef: {
            const std::uint8_t feature = channel.registers[1][0];
            if (feature == 0x03)
                disk->transfer_mode = channel.registers[2][0];
            else if (feature == 0x02 || feature == 0x82)
                disk->write_cache = feature == 0x02;
            else if (feature != 0xaa)
                violate(fmt::format("SET FEATURES {:#04x}", feature));
            busy(channel, [this, &channel] { finish(channel); });
            break;
        }
        default:
            violate(fmt::format("unknown command {:#04x}", opcode));
            busy(channel, [this, &channel] { finish(channel, 0x04); });
            break;
    }
}

void FakeIde::busy(ChannelState& channel, std::function<void()> then) const {
    channel.status = bsy;
    channel.after_busy = std::move(then);
    channel.looks = options_.latency;
    if (options_.latency == 0)
        std::exchange(channel.after_busy, nullptr)();
}

void FakeIde::pass_time(ChannelState& channel) {
    if ((channel.status & bsy) != 0 && channel.after_busy && --channel.looks == 0)
        std::exchange(channel.after_busy, nullptr)();
}

void FakeIde::finish(ChannelState& channel, std::uint8_t error) {
    channel.error = error;
    channel.status = static_cast<std::uint8_t>(drdy | dsc | (error != 0 ? err : 0));
    raise(channel);
}

void FakeIde::raise(ChannelState& channel) {
    if (channel.faults.lost_interrupts > 0) {
        --channel.faults.lost_interrupts;
        return;
    }
    if ((channel.control & nien) != 0)
        return;
    channel.interrupt = true;
    channel.bm_status |= bm_interrupt;
    const bool intx_disabled = (config_[0x05] & 0x04) != 0;  // bit 10 of the PCI command register
    if (eventfd_ >= 0 && !masked_ && !intx_disabled) {
        masked_ = true;  // as the kernel does to a level-triggered line
        eventfd_write(eventfd_, 1);
    }
}

void FakeIde::fail_at(ChannelState& channel, std::uint64_t lba, std::uint8_t error, bool extended) {
    for (const std::size_t reg : {3U, 4U, 5U}) {
        channel.registers[reg][0] = static_cast<std::uint8_t>(lba >> (8 * (reg - 3)));
        channel.registers[reg][1] = static_cast<std::uint8_t>(lba >> (8 * reg));
    }
    if (!extended)
        channel.registers[6][0] =
            static_cast<std::uint8_t>((channel.registers[6][0] & 0xf0) | (lba >> 24 & 0xf));
    finish(channel, error);
}

// ---- PIO ----

void FakeIde::start_pio(unsigned index, std::uint64_t lba, std::uint32_t sectors, bool to_disk,
                        bool extended) {
    next_pio_block(index, lba, sectors, to_disk, extended);
}

void FakeIde::next_pio_block(unsigned index, std::uint64_t lba, std::uint32_t left, bool to_disk,
                             bool extended) {
    ChannelState& channel = channels_[index];
    busy(channel, [this, index, &channel, lba, left, to_disk, extended] {
        FakeDisk& disk = *selected(channel);
        if (left == 0) {
            finish(channel);
            return;
        }
        if (const auto bad = disk.bad.find(lba); bad != disk.bad.end()) {
            fail_at(channel, lba, bad->second, extended);
            return;
        }
        channel.status = drdy | dsc | drq;
        if (to_disk) {
            channel.pio_into_device.clear();
            channel.pio_wanted = 512;
            channel.after_busy = [this, index, &channel, lba, left, extended] {
                std::ranges::copy(channel.pio_into_device, selected(channel)->written[lba].begin());
                channel.pio_wanted = 0;
                next_pio_block(index, lba + 1, left - 1, true, extended);
            };
        } else {
            const auto& sector = disk.written[lba];
            channel.pio_out_of_device.assign(sector.begin(), sector.end());
            channel.after_busy = [this, index, &channel, lba, left, extended] {
                if (left == 1)
                    channel.status = drdy | dsc;
                else
                    next_pio_block(index, lba + 1, left - 1, false, extended);
            };
        }
        raise(channel);
    });
}

// ---- DMA ----

std::uint32_t FakeIde::read_bus_master(unsigned index, std::uint64_t offset, std::size_t size) {
    ChannelState& channel = channels_[index];
    if (offset == 0 && size == 1)
        return channel.bm_command;
    if (offset == 2 && size == 1) {
        ++status_reads;
        pass_time(channel);
        return channel.bm_status;
    }
    if (offset == 4 && size == 4)
        return channel.bm_table;
    violate(fmt::format("read of {} bytes at {} of the bus-master block", size, offset));
    return 0xffffffff;
}

void FakeIde::write_bus_master(unsigned index, std::uint64_t offset, std::uint32_t value, std::size_t size) {
    ChannelState& channel = channels_[index];
    const bool active = (channel.bm_status & bm_active) != 0;
    if (offset == 0 && size == 1) {
        const auto command = static_cast<std::uint8_t>(value);
        if ((command & ~(bm_start | bm_to_memory)) != 0)
            violate("reserved bits of the bus-master command are set");
        if (active && ((command ^ channel.bm_command) & bm_to_memory) != 0)
            violate("the direction is changed while the bus master is active");
        const bool starts = (command & bm_start) != 0 && (channel.bm_command & bm_start) == 0;
        channel.bm_command = command;
        if ((command & bm_start) == 0)
            channel.bm_status &= static_cast<std::uint8_t>(~bm_active);
        if (starts) {
            if ((channel.bm_status & (bm_interrupt | bm_error)) != 0)
                violate("the bus master is started with its status not cleared");
            if ((config_[0x04] & 0x04) == 0)
                violate("the bus master is started while bus mastering is off");
            channel.bm_status |= bm_active;
            start_dma(index);
        }
    } else if (offset == 2 && size == 1) {
        const auto cleared = static_cast<std::uint8_t>(value & (bm_interrupt | bm_error));
        channel.bm_status =
            static_cast<std::uint8_t>((channel.bm_status & ~cleared & ~bm_capable) | (value & bm_capable));
        if ((value & bm_capable) != bm_capable)
            violate("the capability bits of the bus-master status are lost");
    } else if (offset == 4 && size == 4) {
        if (active)
            violate("the table pointer is written while the bus master is active");
        if (value % 4 != 0)
            violate("the PRD table is not aligned to 4 bytes");
        channel.bm_table = value;
    } else {
        violate(fmt::format("write of {} bytes at {} of the bus-master block", size, offset));
    }
}

void FakeIde::start_dma(unsigned index) {
    ChannelState& channel = channels_[index];
    if ((channel.status & bsy) == 0) {
        violate("the bus master is started without a command");
        return;
    }
    if (channel.dma)  // nothing when the device hangs
        busy(channel, std::exchange(channel.dma, nullptr));
}

std::byte* FakeIde::memory(std::uint64_t iova, std::size_t size) {
    auto after = mappings_.upper_bound(iova);
    if (after == mappings_.begin())
        return nullptr;
    --after;
    const auto& [first, bytes] = *after;
    return iova + size <= first + bytes.size() ? bytes.data() + (iova - first) : nullptr;
}

/// The address of every 2 bytes that the table describes; nothing when the bus master meets an error.
std::optional<std::vector<std::byte*>> FakeIde::walk_table(ChannelState& channel, std::size_t bytes) {
    std::vector<std::byte*> pairs;
    std::uint32_t at = channel.bm_table;
    while (true) {
        const std::byte* entry = memory(at, 8);
        if (!entry || at / 0x10000 != channel.bm_table / 0x10000) {
            violate("the PRD table is not mapped, or crosses 64 KiB");
            return std::nullopt;
        }
        std::uint32_t address = 0;
        std::uint16_t count = 0;
        std::uint16_t flags = 0;
        std::memcpy(&address, entry, 4);
        std::memcpy(&count, entry + 4, 2);
        std::memcpy(&flags, entry + 6, 2);
        const std::uint32_t size = count == 0 ? 0x10000 : count;
        if (address % 2 != 0 || size % 2 != 0 || address / 0x10000 != (address + size - 1) / 0x10000)
            violate(fmt::format("PRD entry {:#x}+{:#x} is odd or crosses 64 KiB", address, size));
        for (std::uint32_t i = 0; i < size; i += 2) {
            std::byte* where = memory(address + i, 2);
            if (!where) {
                violate(fmt::format("PRD entry {:#x}+{:#x} is not mapped", address, size));
                return std::nullopt;
            }
            pairs.push_back(where);
        }
        if ((flags & 0x8000) != 0)
            break;
        at += 8;
    }
    if (pairs.size() * 2 != bytes)
        violate(
            fmt::format("the PRD table describes {} bytes, the command moves {}", pairs.size() * 2, bytes));
    if (pairs.size() * 2 < bytes)
        return std::nullopt;
    return pairs;
}

void FakeIde::run_dma(unsigned index, std::uint64_t lba, std::uint32_t sectors, bool to_disk, bool extended) {
    ChannelState& channel = channels_[index];
    FakeDisk& disk = *selected(channel);
    FakeFaults& faults = channel.faults;
    if (((channel.bm_command & bm_to_memory) != 0) == to_disk)
        violate("the bus master's direction is not the command's");
    const auto table = walk_table(channel, std::size_t{sectors} * 512);
    const auto end = [&](std::uint8_t status) {
        channel.bm_status &= static_cast<std::uint8_t>(~bm_active);
        channel.status = status;
        raise(channel);
    };
    if (!table || faults.bus_errors > 0) {
        faults.bus_errors -= faults.bus_errors > 0 ? 1 : 0;
        channel.bm_status |= bm_error;
        end(drdy | dsc);
        return;
    }
    if (faults.short_transfers > 0) {
        --faults.short_transfers;
        channel.status = drdy | dsc;
        raise(channel);  // the bus master stays active
        return;
    }
    if (disk.crc_errors > 0) {
        --disk.crc_errors;
        channel.bm_status &= static_cast<std::uint8_t>(~bm_active);
        fail_at(channel, lba, 0x84, extended);
        return;
    }
    for (std::uint32_t sector = 0; sector < sectors; ++sector) {
        if (const auto bad = disk.bad.find(lba + sector); bad != disk.bad.end()) {
            channel.bm_status &= static_cast<std::uint8_t>(~bm_active);
            fail_at(channel, lba + sector, bad->second, extended);
            return;
        }
        for (std::size_t i = 0; i < 512; i += 2) {
            std::byte* host = (*table)[sector * std::size_t{256} + i / 2];
            std::byte* medium = &disk.written[lba + sector][i];
            std::memcpy(to_disk ? medium : host, to_disk ? host : medium, 2);
        }
    }
    if (faults.stuck_requests > 0) {
        --faults.stuck_requests;
        end(drdy | dsc | drq);
        return;
    }
    end(drdy | dsc);
}

void FakeIde::run_trim(unsigned index, std::uint32_t blocks) {
    ChannelState& channel = channels_[index];
    const auto table = walk_table(channel, std::size_t{blocks} * 512);
    channel.bm_status &= static_cast<std::uint8_t>(~bm_active);
    for (std::size_t entry = 0; table && entry < std::size_t{blocks} * 64; ++entry) {
        std::uint64_t range = 0;
        for (std::size_t i = 0; i < 8; i += 2) {
            std::uint16_t word = 0;
            std::memcpy(&word, (*table)[entry * 4 + i / 2], 2);
            range |= static_cast<std::uint64_t>(word) << (8 * i);
        }
        const std::uint64_t first = range & 0xffffffffffff;
        for (std::uint64_t i = 0; i < range >> 48; ++i)
            selected(channel)->trimmed.insert(first + i);
    }
    finish(channel);
}

// ---- the rest ----

std::array<std::uint16_t, 256> FakeIde::identify_words(const FakeDisk& disk) const {
    std::array<std::uint16_t, 256> words{};
    const auto text = [&](std::size_t first, std::size_t count, const std::string& value) {
        for (std::size_t i = 0; i < 2 * count; ++i) {
            const auto character = static_cast<unsigned char>(i < value.size() ? value[i] : ' ');
            words[first + i / 2] |= static_cast<std::uint16_t>(character << (i % 2 == 0 ? 8 : 0));
        }
    };
    text(10, 10, disk.serial);
    text(23, 4, "1.0");
    text(27, 20, disk.model);
    words[49] = static_cast<std::uint16_t>(0x0200 | (disk.dma ? 0x0100 : 0));
    words[53] = 0x0006;
    const std::uint64_t small = std::min<std::uint64_t>(disk.sectors, 0x0fffffff);
    words[60] = static_cast<std::uint16_t>(small);
    words[61] = static_cast<std::uint16_t>(small >> 16);
    if (disk.dma) {
        words[63] = 0x0007;
        words[88] = 0x003f;
        const unsigned mode = disk.transfer_mode & 7U;
        if (disk.transfer_mode >= 0x40)
            words[88] |= static_cast<std::uint16_t>(0x100U << mode);
        else if (disk.transfer_mode >= 0x20)
            words[63] |= static_cast<std::uint16_t>(0x100U << mode);
    }
    words[82] = 0x0060;
    words[83] = static_cast<std::uint16_t>(disk.lba48 ? 0x7400 : 0x5000);
    words[84] = static_cast<std::uint16_t>(disk.fua ? 0x4040 : 0x4000);
    words[85] = static_cast<std::uint16_t>(disk.write_cache ? 0x0060 : 0x0040);
    words[87] = 0x4000;
    for (std::size_t i = 0; i < 4 && disk.lba48; ++i)
        words[100 + i] = static_cast<std::uint16_t>(disk.sectors >> (16 * i));
    words[169] = 1;
    return words;
}

InterruptInfo FakeIde::interrupt_info(InterruptKind kind) const {
    if (kind == InterruptKind::intx && options_.interrupt_pin)
        return {.count = 1, .maskable = true};
    return {};
}

void FakeIde::set_interrupts(InterruptKind kind, std::span<const int> eventfds) {
    if (kind == InterruptKind::intx)
        eventfd_ = eventfds.empty() ? -1 : eventfds.front();
    masked_ = false;
}

int FakeIde::unmask_intx() noexcept {
    ++unmasks;
    masked_ = std::ranges::any_of(channels_, [](const ChannelState& channel) { return channel.interrupt; });
    if (masked_)  // still asserted: it fires again
        eventfd_write(eventfd_, 1);
    return 0;
}

void FakeIde::map_dma(const DmaMapping& mapping) {
    mappings_[mapping.iova] = mapping.memory;
}

void FakeIde::unmap_dma(std::uint64_t iova, std::uint64_t) {
    mappings_.erase(iova);
}

}  // namespace outboard::testing
