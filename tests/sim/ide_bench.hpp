// A host for tests of the simulated IDE controller: register accesses, and memory that the controller
// reaches. Constants are the standards' numbers, written out.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/sim/models/ide.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace outboard::sim::test {

/// One disk of 64 MiB in place 0 and nothing else, on a controller without peculiarities.
inline IdeOptions one_disk() {
    IdeOptions options{.controller = "plain"};
    options.disks[0] = IdeDiskOptions{.storage = {.size = 64 << 20, .write_cache = 1 << 20}, .serial = "one"};
    return options;
}

class IdeBench {
  public:
    static constexpr std::uint64_t memory_base = 0x100000;
    static constexpr std::size_t memory_size = 4 << 20;
    static constexpr std::uint32_t table = memory_base + memory_size - 0x10000;

    explicit IdeBench(IdeOptions options = one_disk()) : model(listening(std::move(options))) {
        const Fd file(::memfd_create("ide-bench", MFD_CLOEXEC));
        if (!file || ::ftruncate(file.get(), memory_size) != 0)
            throw std::runtime_error("no memory");
        void* const address = ::mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
        if (address == MAP_FAILED)
            throw std::runtime_error("no memory");
        memory = {static_cast<std::byte*>(address), memory_size};
        if (model.dma().add(memory_base, memory_size, {.readable = true, .writable = true}, file, 0) != 0)
            throw std::runtime_error("not mapped");
        model.dma().set_bus_master(true);
    }
    IdeBench(const IdeBench&) = delete;
    IdeBench& operator=(const IdeBench&) = delete;
    IdeBench(IdeBench&&) = delete;
    IdeBench& operator=(IdeBench&&) = delete;
    ~IdeBench() { ::munmap(memory.data(), memory.size()); }

    // ---- registers of the channel at hand; places as in the command block ----

    std::uint8_t in(unsigned place) { return static_cast<std::uint8_t>(model.read(2 * channel, place, 1)); }
    void out(unsigned place, unsigned value) { model.write(2 * channel, place, 1, value & 0xff); }
    std::uint8_t status() { return in(7); }
    std::uint8_t alternate_status() {
        return static_cast<std::uint8_t>(model.read(2 * channel + 1, control_offset, 1));
    }
    void control(unsigned value) { model.write(2 * channel + 1, control_offset, 1, value); }
    std::uint16_t data_in() { return static_cast<std::uint16_t>(model.read(2 * channel, 0, 2)); }
    void data_out(unsigned word) { model.write(2 * channel, 0, 2, word & 0xffff); }
    std::uint8_t master(unsigned place) {
        return static_cast<std::uint8_t>(model.read(4, 8 * channel + place, 1));
    }
    void master(unsigned place, unsigned value) { model.write(4, 8 * channel + place, 1, value & 0xff); }
    void table_pointer(std::uint32_t address) { model.write(4, 8 * channel + 4, 4, address); }
    bool line() { return model.interrupts().line(); }

    // ---- commands ----

    /// 28-bit.
    void command(unsigned opcode, std::uint64_t lba = 0, unsigned count = 1, unsigned features = 0) {
        out(1, features);
        out(2, count);
        out(3, static_cast<unsigned>(lba));
        out(4, static_cast<unsigned>(lba >> 8));
        out(5, static_cast<unsigned>(lba >> 16));
        out(6, 0xe0U | unit << 4 | static_cast<unsigned>(lba >> 24 & 0xf));
        out(7, opcode);
    }
    /// 48-bit: each register twice, the high byte first.
    void command_extended(unsigned opcode, std::uint64_t lba = 0, unsigned count = 1, unsigned features = 0) {
        out(1, 0);
        out(1, features);
        out(2, count >> 8);
        out(2, count);
        for (const unsigned byte : {0U, 1U, 2U}) {
            out(3 + byte, static_cast<unsigned>(lba >> (24 + 8 * byte)));
            out(3 + byte, static_cast<unsigned>(lba >> (8 * byte)));
        }
        out(6, 0xe0U | unit << 4);
        out(7, opcode);
    }
    std::uint64_t lba_out(bool extended) {
        std::uint64_t lba = in(3) | std::uint64_t{in(4)} << 8 | std::uint64_t{in(5)} << 16;
        if (!extended)
            return lba | std::uint64_t{in(6) & 0xfU} << 24;
        control(0x80);
        lba |= std::uint64_t{in(3)} << 24 | std::uint64_t{in(4)} << 32 | std::uint64_t{in(5)} << 40;
        control(0);
        return lba;
    }
    std::vector<std::byte> read_block(std::size_t size = 512) {
        std::vector<std::byte> block(size);
        for (std::size_t i = 0; i < size; i += 2) {
            const std::uint16_t word = data_in();
            std::memcpy(&block[i], &word, 2);
        }
        return block;
    }
    void write_block(std::span<const std::byte> block) {
        for (std::size_t i = 0; i < block.size(); i += 2) {
            std::uint16_t word = 0;
            std::memcpy(&word, &block[i], 2);
            data_out(word);
        }
    }
    std::array<std::uint16_t, 256> identify() {
        out(6, 0xa0U | unit << 4);
        out(7, 0xec);
        std::array<std::uint16_t, 256> words{};
        status();
        for (std::uint16_t& word : words)
            word = data_in();
        return words;
    }

    // ---- DMA ----

    struct Entry {
        std::uint32_t address = 0;
        std::uint32_t count = 0;  ///< as in the table: 0 is 64 KiB
        std::uint32_t flags = 0;
    };
    /// Writes a table of entries; the last gets the end mark.
    void fill_table(std::initializer_list<Entry> entries, bool end = true, std::uint32_t at = table) {
        std::size_t left = entries.size();
        for (const Entry& entry : entries) {
            const std::uint32_t flags = entry.flags | (end && --left == 0 ? 0x8000U : 0U);
            put(at, entry.address);
            put(at + 4, (entry.count & 0xffff) | flags << 16);
            at += 8;
        }
    }
    void put(std::uint64_t address, std::uint32_t value) { std::memcpy(at(address).data(), &value, 4); }
    std::span<std::byte> at(std::uint64_t address, std::size_t size = 4) {
        return memory.subspan(address - memory_base, size);
    }
    /// As Bus Master IDE 1.0, 3.1 has it, up to the command.
    void prepare(bool to_memory, std::uint32_t address = table) {
        table_pointer(address);
        master(0, to_memory ? 8 : 0);
        master(2, 0x06);
    }
    void start(bool to_memory) { master(0, to_memory ? 9 : 1); }
    void stop() { master(0, 0); }
    /// Reads `count` sectors by DMA to `address`, which lies in one 64 KiB.
    void dma_read(std::uint64_t lba, unsigned count, std::uint32_t address) {
        fill_table({{address, count * 512, 0}});
        prepare(true);
        command(0xc8, lba, count);
        start(true);
    }
    void dma_write(std::uint64_t lba, unsigned count, std::uint32_t address) {
        fill_table({{address, count * 512, 0}});
        prepare(false);
        command(0xca, lba, count);
        start(false);
    }

    std::vector<std::string> breaches;
    IdeModel model;
    std::span<std::byte> memory;
    unsigned channel = 0;
    unsigned unit = 0;
    unsigned control_offset = 2;  ///< 0 in compatibility mode

  private:
    IdeOptions listening(IdeOptions options) {
        options.report = [this](std::string_view what) { breaches.emplace_back(what); };
        return options;
    }
};

/// Bytes that tell where they came from.
inline std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>((i * 2654435761U + seed * 40503U) >> 11);
    return bytes;
}

/// Puts bytes on a disk behind the controller's back.
inline void on_disk(IdeBench& bench, unsigned place, std::uint64_t lba, std::span<const std::byte> bytes) {
    Storage& storage = bench.model.disk(place)->storage();
    if (storage.write(lba * storage.block_size(), bytes, Durability::stable) != 0)
        throw std::runtime_error("not written");
}
inline std::vector<std::byte> from_disk(IdeBench& bench, unsigned place, std::uint64_t lba,
                                        std::size_t size) {
    std::vector<std::byte> bytes(size);
    Storage& storage = bench.model.disk(place)->storage();
    if (storage.read(lba * storage.block_size(), bytes) != 0)
        throw std::runtime_error("not read");
    return bytes;
}

}  // namespace outboard::sim::test
