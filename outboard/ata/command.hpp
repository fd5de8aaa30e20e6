// Task files: what is written to the command block to make an ATA disk do something (ATA/ATAPI-7 volume 1,
// clause 6, under each command's name; DATA SET MANAGEMENT: ACS-3, 7.5). Pure.
#pragma once

#include <cstdint>

namespace outboard::ata {

enum class Opcode : std::uint8_t {
    data_set_management = 0x06,
    read_sectors = 0x20,
    read_sectors_ext = 0x24,
    read_dma_ext = 0x25,
    read_log_ext = 0x2f,
    write_sectors = 0x30,
    write_sectors_ext = 0x34,
    write_dma_ext = 0x35,
    write_dma_fua_ext = 0x3d,
    read_fpdma_queued = 0x60,
    write_fpdma_queued = 0x61,
    read_dma = 0xc8,
    write_dma = 0xca,
    flush_cache = 0xe7,
    flush_cache_ext = 0xea,
    identify_device = 0xec,
    set_features = 0xef,
};

/// How a command moves data (ATA/ATAPI-7 volume 2, clause 11: the protocols).
enum class Protocol : std::uint8_t { non_data, pio_in, pio_out, dma_in, dma_out };

/// The contents of the command block for one command. `device` lacks the bit that selects the device.
struct TaskFile {
    Opcode opcode{};
    Protocol protocol = Protocol::non_data;
    bool extended = false;       ///< a 48-bit command: every register is written twice, `previous` first
    bool uses_features = false;  ///< the features register is a parameter
    std::uint16_t features = 0;  ///< high byte: previous content
    std::uint8_t device = 0;
    std::uint16_t count = 0;  ///< high byte: previous content
    std::uint64_t lba = 0;    ///< 28 bits (27:24 go into `device`) or 48
};

/// Most sectors of one command; their count is written as 0.
constexpr std::uint32_t max_sectors_28 = 256;
constexpr std::uint32_t max_sectors_48 = 65536;
/// The first sector that 28-bit commands do not reach. The last of the 2^28 addresses is never one of a
/// sector.
constexpr std::uint64_t end_of_28 = 0x0fffffff;

/// Subcommands of SET FEATURES (ATA/ATAPI-7 volume 1, 6.48).
enum class Feature : std::uint8_t {
    write_cache_on = 0x02,
    transfer_mode = 0x03,
    read_look_ahead_on = 0xaa,
    write_cache_off = 0x82,
};

enum class Direction : std::uint8_t { from_device, to_device };

/// A read or write of `sectors` sectors (1 … max_sectors_48, or max_sectors_28 for disks without 48-bit
/// commands) at `lba`, all inside the disk. The short 28-bit form is taken wherever it does. `fua` asks for
/// WRITE DMA FUA EXT; the disk must have it.
constexpr TaskFile transfer(Direction direction, bool dma, std::uint64_t lba, std::uint32_t sectors,
                            bool fua = false) {
    const bool read = direction == Direction::from_device;
    TaskFile task;
    task.extended = fua || sectors > max_sectors_28 || lba + sectors > end_of_28;
    if (dma) {
        task.protocol = read ? Protocol::dma_in : Protocol::dma_out;
        if (task.extended)
            task.opcode = read ? Opcode::read_dma_ext : Opcode::write_dma_ext;
        else
            task.opcode = read ? Opcode::read_dma : Opcode::write_dma;
        if (fua)
            task.opcode = Opcode::write_dma_fua_ext;
    } else {
        task.protocol = read ? Protocol::pio_in : Protocol::pio_out;
        if (task.extended)
            task.opcode = read ? Opcode::read_sectors_ext : Opcode::write_sectors_ext;
        else
            task.opcode = read ? Opcode::read_sectors : Opcode::write_sectors;
    }
    task.lba = lba;
    // 256 and 65536 are written as 0: the cut does it. Bit 6 of the device register: LBA addressing.
    task.count = task.extended ? static_cast<std::uint16_t>(sectors) : static_cast<std::uint8_t>(sectors);
    task.device = 0x40;
    return task;
}

/// True for the commands of native command queuing (ACS-3, 4.16).
constexpr bool is_queued(Opcode opcode) {
    return opcode == Opcode::read_fpdma_queued || opcode == Opcode::write_fpdma_queued;
}

/// A read or write under a tag (0 … 31), of which the disk has several at the same time (ACS-3, 7.23
/// and 7.60). Sectors and address as above; the disk must have native command queuing. `fua`: the data is on
/// the medium when the command ends.
constexpr TaskFile queued_transfer(Direction direction, std::uint64_t lba, std::uint32_t sectors,
                                   unsigned tag, bool fua = false) {
    const bool read = direction == Direction::from_device;
    TaskFile task;
    task.opcode = read ? Opcode::read_fpdma_queued : Opcode::write_fpdma_queued;
    task.protocol = read ? Protocol::dma_in : Protocol::dma_out;
    task.extended = true;
    task.uses_features = true;
    task.features = static_cast<std::uint16_t>(sectors);
    task.count = static_cast<std::uint16_t>(tag << 3);
    task.device = fua ? 0xc0 : 0x40;
    task.lba = lba;
    return task;
}

/// READ LOG EXT: one page of 512 bytes of a log.
constexpr TaskFile read_log(std::uint8_t log) {
    TaskFile task;
    task.opcode = Opcode::read_log_ext;
    task.protocol = Protocol::pio_in;
    task.extended = true;
    task.count = 1;
    task.lba = log;
    return task;
}
/// The log that tells which queued command failed (ACS-3, A.14).
constexpr std::uint8_t queued_error_log = 0x10;

/// Writes the volatile cache to the medium.
constexpr TaskFile flush(bool extended) {
    TaskFile task;
    task.opcode = extended ? Opcode::flush_cache_ext : Opcode::flush_cache;
    task.extended = extended;
    return task;
}

/// Asks for the 256 words of identify data.
constexpr TaskFile identify() {
    TaskFile task;
    task.opcode = Opcode::identify_device;
    task.protocol = Protocol::pio_in;
    return task;
}

/// Switches a feature; `parameter` goes into the sector count.
constexpr TaskFile set_feature(Feature feature, std::uint8_t parameter = 0) {
    TaskFile task;
    task.opcode = Opcode::set_features;
    task.uses_features = true;
    task.features = static_cast<std::uint8_t>(feature);
    task.count = parameter;
    return task;
}

/// DATA SET MANAGEMENT with TRIM: `blocks` blocks of 512 bytes of range entries follow by DMA.
constexpr TaskFile trim(std::uint16_t blocks) {
    TaskFile task;
    task.opcode = Opcode::data_set_management;
    task.protocol = Protocol::dma_out;
    task.extended = true;
    task.uses_features = true;
    task.features = 0x01;
    task.count = blocks;
    task.device = 0x40;
    return task;
}

/// A range entry of TRIM: LBA in bits 47:0, count in 63:48.
constexpr std::uint64_t trim_range(std::uint64_t lba, std::uint16_t sectors) {
    return lba | static_cast<std::uint64_t>(sectors) << 48;
}
constexpr std::uint32_t trim_entries_per_block = 64;
constexpr std::uint32_t max_trim_sectors_per_entry = 65535;

/// The command's name in the specification.
constexpr const char* to_string(Opcode opcode) {
    switch (opcode) {
        case Opcode::data_set_management:
            return "DATA SET MANAGEMENT";
        case Opcode::read_sectors:
            return "READ SECTOR(S)";
        case Opcode::read_sectors_ext:
            return "READ SECTOR(S) EXT";
        case Opcode::read_dma_ext:
            return "READ DMA EXT";
        case Opcode::write_sectors:
            return "WRITE SECTOR(S)";
        case Opcode::write_sectors_ext:
            return "WRITE SECTOR(S) EXT";
        case Opcode::write_dma_ext:
            return "WRITE DMA EXT";
        case Opcode::write_dma_fua_ext:
            return "WRITE DMA FUA EXT";
        case Opcode::read_log_ext:
            return "READ LOG EXT";
        case Opcode::read_fpdma_queued:
            return "READ FPDMA QUEUED";
        case Opcode::write_fpdma_queued:
            return "WRITE FPDMA QUEUED";
        case Opcode::read_dma:
            return "READ DMA";
        case Opcode::write_dma:
            return "WRITE DMA";
        case Opcode::flush_cache:
            return "FLUSH CACHE";
        case Opcode::flush_cache_ext:
            return "FLUSH CACHE EXT";
        case Opcode::identify_device:
            return "IDENTIFY DEVICE";
        case Opcode::set_features:
            return "SET FEATURES";
    }
    return "?";
}

}  // namespace outboard::ata
