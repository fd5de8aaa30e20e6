// What lies in memory for a port (AHCI 1.3.1, clause 4), and how a command gets there. Pure.
#pragma once

#include "outboard/ata/command.hpp"
#include "outboard/base/endian.hpp"
#include "outboard/drivers/ahci/prd.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace outboard::ahci {

/// An entry of the command list (4.2.2).
struct CommandHeader {
    Le16 flags;              ///< command FIS length in dwords 4:0, write 6
    Le16 descriptors;        ///< PRDTL
    Le32 bytes_transferred;  ///< PRDBC: the HBA's
    Le64 table;              ///< CTBA: a multiple of 128
    std::array<Le32, 4> reserved;

    static constexpr std::uint16_t write = 1U << 6;
};
static_assert(sizeof(CommandHeader) == 32);

/// The register FIS that takes a command to the disk (Serial ATA 3.x, 10.5.5).
struct CommandFis {
    std::uint8_t type;     ///< 27h
    std::uint8_t flags;    ///< bit 7: a command
    std::uint8_t command;  ///<
    std::uint8_t features;
    std::array<std::uint8_t, 3> lba_low;
    std::uint8_t device;
    std::array<std::uint8_t, 3> lba_high;
    std::uint8_t features_high;
    std::uint8_t count;
    std::uint8_t count_high;
    std::uint8_t icc;
    std::uint8_t control;
    std::array<std::uint8_t, 4> auxiliary;
};
static_assert(sizeof(CommandFis) == 20);

/// A command table (4.2.3). Behind its descriptors it has room for the ranges of a TRIM.
struct CommandTable {
    CommandFis fis;
    std::array<std::byte, 0x80 - sizeof(CommandFis)> unused;
    std::array<PrdEntry, 88> descriptors;
    std::array<Le64, ata::trim_entries_per_block> ranges;
};
static_assert(offsetof(CommandTable, descriptors) == 0x80 && sizeof(CommandTable) == 2048);

inline constexpr std::size_t most_descriptors = 88;

/// What the HBA writes for a port (4.2.1); this driver reads none of it.
inline constexpr std::size_t received_fis_bytes = 256;

/// A port's memory, all of it: PxCLB has to be a multiple of 1024, PxFB of 256.
struct PortMemory {
    std::array<CommandHeader, 32> headers;
    std::array<std::byte, received_fis_bytes> received;
    std::array<std::byte, 768> unused;
    std::array<Le16, 256> page;  ///< for the answers of commands that set up
    std::array<std::byte, 4096 - 2048 - 512> unused2;
    std::array<CommandTable, 32> tables;
};
static_assert(offsetof(PortMemory, received) % 256 == 0 && offsetof(PortMemory, tables) == 4096);

/// The task file as a FIS.
constexpr CommandFis make_fis(const ata::TaskFile& task) {
    const auto byte = [](std::uint64_t value, unsigned index) {
        return static_cast<std::uint8_t>(value >> (8 * index));
    };
    CommandFis fis{};
    fis.type = 0x27;
    fis.flags = 0x80;
    fis.command = static_cast<std::uint8_t>(task.opcode);
    fis.features = byte(task.features, 0);
    fis.features_high = byte(task.features, 1);
    fis.device = task.device;
    fis.count = byte(task.count, 0);
    for (unsigned i = 0; i < 3; ++i)
        fis.lba_low[i] = byte(task.lba, i);
    if (task.extended) {
        for (unsigned i = 0; i < 3; ++i)
            fis.lba_high[i] = byte(task.lba, 3 + i);
        fis.count_high = byte(task.count, 1);
    } else {
        fis.device |= static_cast<std::uint8_t>(task.lba >> 24 & 0x0f);
    }
    return fis;
}

/// The list's entry for a command whose table is at `table`.
constexpr CommandHeader make_header(const ata::TaskFile& task, std::size_t descriptors, std::uint64_t table) {
    const bool out = task.protocol == ata::Protocol::dma_out || task.protocol == ata::Protocol::pio_out;
    CommandHeader header{};
    header.flags = static_cast<std::uint16_t>(sizeof(CommandFis) / 4 | (out ? CommandHeader::write : 0U));
    header.descriptors = static_cast<std::uint16_t>(descriptors);
    header.table = table;
    return header;
}

}  // namespace outboard::ahci
