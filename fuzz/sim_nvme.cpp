// The NVMe model under a driver that lies: registers, queues, commands and the memory they name.
#include "outboard/base/fd.hpp"
#include "outboard/sim/models/nvme/controller.hpp"
#include "outboard/sim/region_access.hpp"

#include <array>
#include <chrono>
#include <cstring>
#include <span>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"
#include "fuzz/virtual_time.hpp"
#include <sys/mman.h>
#include <unistd.h>

namespace outboard::fuzz {
namespace {

constexpr std::uint64_t memory_iova = 0x10000;
constexpr std::size_t memory_bytes = 0x10000;
constexpr unsigned config_region = 7;

// Registers (NVM Express 1.4, 3.1), and where this driver has its admin queues, of 16 entries each.
constexpr std::uint64_t cc = 0x14;
constexpr std::uint64_t csts = 0x1c;
constexpr std::uint64_t aqa = 0x24;
constexpr std::uint64_t asq = 0x28;
constexpr std::uint64_t acq = 0x30;
constexpr std::uint64_t doorbells = 0x1000;
constexpr std::uint32_t enable = 0x00460001;  // 64-byte commands, 16-byte completions
constexpr std::uint32_t queue_entries = 16;
constexpr std::uint64_t submissions = memory_iova;
constexpr std::uint64_t completions = memory_iova + 0x1000;

/// The client's memory, a file as the model wants it.
class Memory {
  public:
    Memory() : file_(::memfd_create("client", MFD_CLOEXEC)) {
        require(file_ && ::ftruncate(file_.get(), memory_bytes) == 0, "there is memory");
        void* const address =
            ::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
        require(address != MAP_FAILED, "it can be mapped");
        bytes_ = {static_cast<std::byte*>(address), memory_bytes};
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    Memory(Memory&&) = delete;
    Memory& operator=(Memory&&) = delete;
    ~Memory() { ::munmap(bytes_.data(), bytes_.size()); }

    const Fd& file() const { return file_; }
    std::span<std::byte> bytes() const { return bytes_; }

  private:
    Fd file_;
    std::span<std::byte> bytes_;
};

class HostileDriver {
  public:
    HostileDriver(Input& input, sim::nvme::Controller& model, Memory& memory)
        : input_(input), model_(model), memory_(memory.bytes()) {}

    void run() {
        set<std::uint16_t>(config_region, 4, 6);  // memory space, bus master
        if (input_.below(8) != 7)
            bring_up();
        for (unsigned left = 64; left > 0 && !input_.empty(); --left)
            act();
        require(model_.reset_device(), "a reset without a fault works");
        require(get(csts) == 0 && get(cc) == 0, "after it everything is as at power-on");
    }

  private:
    template <class T>
    void set(unsigned region, std::uint64_t offset, T value) {
        static_cast<void>(sim::write_region(model_, region, offset, std::as_bytes(std::span(&value, 1))));
    }
    std::uint32_t get(std::uint64_t offset) {
        std::uint32_t value = 0;
        require(sim::read_region(model_, 0, offset, std::as_writable_bytes(std::span(&value, 1))) == 0,
                "registers can be read");
        return value;
    }

    void bring_up() {
        set<std::uint32_t>(0, aqa, (queue_entries - 1) << 16 | (queue_entries - 1));
        set<std::uint64_t>(0, asq, submissions);
        set<std::uint64_t>(0, acq, completions);
        set<std::uint32_t>(0, cc, enable);
        look();
    }

    void look() {
        pass_time(std::chrono::milliseconds(1));
        model_.timers().run(Clock::now());
        for (unsigned left = 64; left > 0 && model_.poll() == sim::Polled::worked; --left)
            ;
    }

    /// A doorbell lies in memory that a client maps.
    void ring(unsigned number, std::uint32_t value) {
        const std::span<std::byte> shared = model_.shared(0);
        const std::size_t offset = doorbells + number * sizeof value;
        if (offset + sizeof value <= shared.size())
            std::memcpy(shared.data() + offset, &value, sizeof value);
        else
            set<std::uint32_t>(0, offset, value);
    }

    /// An address, most often of this driver's memory.
    std::uint64_t address() {
        const auto page = input_.take<std::uint8_t>();
        if (page >= 0xf0)
            return input_.take<std::uint64_t>();
        return memory_iova + (page % 18) * 0x1000ULL +
               ((page & 0x80) != 0 ? input_.take<std::uint8_t>() * 4U : 0U);
    }

    /// Puts a command into the next place of a queue (0: the admin queue; the others' memory is behind it).
    void submit(unsigned queue, std::uint8_t opcode) {
        std::array<std::uint32_t, 16> entry{};
        entry[0] = opcode | static_cast<std::uint32_t>(input_.take<std::uint16_t>()) << 16;
        if (input_.below(16) == 15)
            entry[0] |= std::uint32_t{input_.take<std::uint8_t>()} << 8U;
        entry[1] = input_.below(16) == 15 ? 0xffffffff : input_.below(4);
        const std::uint64_t first = address();
        const std::uint64_t second = address();
        std::memcpy(&entry[6], &first, sizeof first);
        std::memcpy(&entry[8], &second, sizeof second);
        for (std::size_t i = 10; i < 13; ++i)
            entry[i] = input_.flag() ? input_.take<std::uint32_t>() : input_.take<std::uint8_t>();
        const std::size_t place = queue * 0x2000ULL + tails_[queue] * sizeof entry;
        std::memcpy(memory_.data() + place, entry.data(), sizeof entry);
        tails_[queue] = (tails_[queue] + 1) % queue_entries;
        ring(2 * queue, tails_[queue]);
    }

    /// An I/O queue pair as a good driver makes it.
    void create_queues(unsigned queue) {
        const auto create = [&](std::uint32_t opcode, std::uint64_t place, std::uint32_t attributes) {
            std::array<std::uint32_t, 16> entry{};
            entry[0] = opcode;
            std::memcpy(&entry[6], &place, sizeof place);
            entry[10] = (queue_entries - 1) << 16 | queue;
            entry[11] = attributes;
            std::memcpy(memory_.data() + tails_[0] * sizeof entry, entry.data(), sizeof entry);
            tails_[0] = (tails_[0] + 1) % queue_entries;
        };
        create(0x05, memory_iova + queue * 0x2000ULL + 0x1000, queue << 16 | 3);
        create(0x01, memory_iova + queue * 0x2000ULL, queue << 16 | 1);
        ring(0, tails_[0]);
        tails_[queue] = 0;
    }

    void act() {
        static constexpr std::array<std::uint8_t, 16> admin{0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09,
                                                            0x0a, 0x0c, 0x0d, 0x10, 0x14, 0x18, 0x7c, 0x80};
        static constexpr std::array<std::uint8_t, 8> io{0x00, 0x01, 0x02, 0x04, 0x05, 0x08, 0x09, 0x0c};
        switch (input_.below(9)) {
            case 0:
                submit(0, admin[input_.below(admin.size())]);
                break;
            case 1:
            case 2:
                submit(1 + input_.below(2), io[input_.below(io.size())]);
                break;
            case 3:
                create_queues(1 + input_.below(2));
                break;
            case 4:
                ring(input_.below(8),
                     input_.flag() ? input_.below(queue_entries) : input_.take<std::uint32_t>());
                break;
            case 5:
                set<std::uint32_t>(0, input_.below(32) * 4ULL, input_.take<std::uint32_t>());
                break;
            case 6: {
                // The memory itself: commands, lists and shadow doorbells change at any time.
                const std::size_t place = input_.take<std::uint16_t>();
                const auto bytes =
                    input_.take_bytes(std::min<std::size_t>(input_.below(80), memory_bytes - place));
                if (!bytes.empty())
                    std::memcpy(memory_.data() + place, bytes.data(), bytes.size());
                break;
            }
            case 7:
                set<std::uint32_t>(0, cc, input_.flag() ? 0 : enable | input_.take<std::uint16_t>());
                break;
            default:
                set<std::uint16_t>(config_region, 4, static_cast<std::uint16_t>(input_.flag() ? 6 : 2));
        }
        if (input_.below(4) != 0)
            look();
    }

    Input& input_;
    sim::nvme::Controller& model_;
    std::span<std::byte> memory_;
    std::array<std::uint32_t, 3> tails_{};
};

}  // namespace

void run(Input input) {
    reset_time();
    const auto choice = input.take<std::uint8_t>();
    sim::nvme::Options options{.namespaces = {{.size = 0x10000, .block_size = 512},
                                              {.size = 0x20000, .block_size = 4096, .write_cache = 8192}},
                               .queue_pairs = 4,
                               .queue_entries = 64,
                               .max_transfer = 16384};
    options.doorbell_stride = (choice & 1) != 0 ? 2 : 0;
    options.latency = (choice & 2) != 0 ? std::chrono::milliseconds(2) : Duration::zero();
    sim::nvme::Controller model(options);
    Memory memory;
    require(model.dma().add(memory_iova, memory_bytes, {.readable = true, .writable = true}, memory.file(),
                            0) == 0,
            "memory can be mapped");
    HostileDriver(input, model, memory).run();
    model.dma().clear();
}

}  // namespace outboard::fuzz
