// A client of an NVMe controller that does everything by hand: registers, queues and doorbells through the
// bus, commands as raw doublewords. Numbers are those of NVM Express 1.4.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/sim/models/nvme/controller.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace outboard::test {

/// A submission queue entry.
struct Command {
    std::array<std::uint32_t, 16> dwords{};

    Command& opcode(std::uint8_t value) {
        dwords[0] = (dwords[0] & ~0xffU) | value;
        return *this;
    }
    Command& flags(std::uint8_t value) {
        dwords[0] |= std::uint32_t{value} << 8;
        return *this;
    }
    Command& identifier(std::uint16_t value) {
        dwords[0] = (dwords[0] & 0xffff) | std::uint32_t{value} << 16;
        return *this;
    }
    Command& nsid(std::uint32_t value) {
        dwords[1] = value;
        return *this;
    }
    Command& prp(std::uint64_t first, std::uint64_t second = 0) {
        dwords[6] = static_cast<std::uint32_t>(first);
        dwords[7] = static_cast<std::uint32_t>(first >> 32);
        dwords[8] = static_cast<std::uint32_t>(second);
        dwords[9] = static_cast<std::uint32_t>(second >> 32);
        return *this;
    }
    Command& dword(unsigned index, std::uint32_t value) {
        dwords[index] = value;
        return *this;
    }
};
static_assert(sizeof(Command) == 64);

/// A completion queue entry.
struct Completion {
    std::array<std::uint32_t, 4> dwords{};

    std::uint32_t result() const { return dwords[0]; }
    unsigned head() const { return dwords[2] & 0xffff; }
    unsigned queue() const { return dwords[2] >> 16; }
    unsigned identifier() const { return dwords[3] & 0xffff; }
    /// Status code type and status code: 0 is success.
    unsigned status() const { return dwords[3] >> 17 & 0x7ff; }
    bool do_not_retry() const { return dwords[3] >> 31 != 0; }
};

/// A queue pair's memory and state at the client's end.
struct ClientQueue {
    unsigned id = 0;
    unsigned entries = 0;
    std::uint64_t submission = 0;
    std::uint64_t completion = 0;
    unsigned tail = 0;
    unsigned head = 0;
    bool phase = true;
    std::uint16_t next_identifier = 0;
};

class NvmeClient {
  public:
    static constexpr std::uint64_t memory_iova = 0x10000000;
    static constexpr std::uint64_t memory_size = 32 << 20;

    /// Maps its memory for the device and enables bus mastering. `model` outlives it.
    explicit NvmeClient(sim::nvme::Controller& controller);
    ~NvmeClient();
    NvmeClient(const NvmeClient&) = delete;
    NvmeClient& operator=(const NvmeClient&) = delete;
    NvmeClient(NvmeClient&&) = delete;
    NvmeClient& operator=(NvmeClient&&) = delete;

    // ---- the bus ----

    std::uint32_t get(std::uint64_t offset) const;
    std::uint64_t get64(std::uint64_t offset) const;
    void set(std::uint64_t offset, std::uint32_t value) const;
    void set64(std::uint64_t offset, std::uint64_t value) const;
    void set_command_register(std::uint16_t value) const;

    // ---- memory ----

    std::span<std::byte> memory(std::uint64_t iova, std::size_t size) const {
        return bytes_.subspan(iova - memory_iova, size);
    }
    /// Unused memory, zeroed, a multiple of 64 KiB.
    std::uint64_t allocate(std::uint64_t size);
    std::uint64_t page() { return allocate(4096); }
    /// A test pattern.
    void fill(std::uint64_t iova, std::size_t size, unsigned seed) const;

    // ---- the controller ----

    /// Enables it with admin queues of so many entries, and expects it to be ready.
    void enable(unsigned entries = 16, unsigned page_shift = 12);
    /// Makes queue pair `id` and expects success.
    ClientQueue make_queue(unsigned id, unsigned entries, unsigned vector = 0, bool interrupts = false);
    ClientQueue& admin() { return admin_; }

    /// Puts a command into the queue, with the next identifier, which it returns.
    std::uint16_t put(ClientQueue& queue, Command command) const;
    void ring(const ClientQueue& queue) const;
    /// The next completion, if there is one; the head doorbell is rung when `acknowledge`.
    std::optional<Completion> reap(ClientQueue& queue, bool acknowledge = true) const;
    void ring_head(const ClientQueue& queue) const;
    /// put, ring, poll, reap: fails the test when there is no completion.
    Completion run(ClientQueue& queue, const Command& command) const;

    sim::nvme::Controller& model;
    unsigned doorbell_stride = 4;

  private:
    Fd file_;
    std::span<std::byte> bytes_;
    std::uint64_t next_ = memory_iova;
    ClientQueue admin_;
};

// ---- commands ----

Command identify(std::uint64_t page, std::uint32_t what, std::uint32_t nsid = 0);
Command read_blocks(std::uint64_t first, unsigned blocks, std::uint64_t prp1, std::uint64_t prp2 = 0,
                    std::uint32_t nsid = 1);
Command write_blocks(std::uint64_t first, unsigned blocks, std::uint64_t prp1, std::uint64_t prp2 = 0,
                     std::uint32_t nsid = 1);
Command create_completion_queue(unsigned id, unsigned entries, std::uint64_t iova, unsigned vector,
                                bool interrupts);
Command create_submission_queue(unsigned id, unsigned entries, std::uint64_t iova, unsigned completion_id);

/// Status codes.
namespace status {
inline constexpr unsigned success = 0;
inline constexpr unsigned invalid_opcode = 0x01;
inline constexpr unsigned invalid_field = 0x02;
inline constexpr unsigned data_transfer_error = 0x04;
inline constexpr unsigned aborted = 0x07;
inline constexpr unsigned aborted_queue_deletion = 0x08;
inline constexpr unsigned invalid_namespace = 0x0b;
inline constexpr unsigned sequence_error = 0x0c;
inline constexpr unsigned invalid_prp_offset = 0x13;
inline constexpr unsigned out_of_range = 0x80;
inline constexpr unsigned invalid_completion_queue = 0x100;
inline constexpr unsigned invalid_queue = 0x101;
inline constexpr unsigned invalid_queue_size = 0x102;
inline constexpr unsigned too_many_event_requests = 0x105;
inline constexpr unsigned invalid_vector = 0x108;
inline constexpr unsigned invalid_log_page = 0x109;
inline constexpr unsigned invalid_deletion = 0x10c;
inline constexpr unsigned not_saveable = 0x10d;
inline constexpr unsigned not_of_a_namespace = 0x10f;
inline constexpr unsigned compare_failed = 0x285;
}  // namespace status

}  // namespace outboard::test
