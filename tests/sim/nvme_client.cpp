#include "tests/sim/nvme_client.hpp"

#include "outboard/sim/region_access.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace outboard::test {

namespace {

constexpr unsigned config_region = 7;
constexpr std::uint64_t doorbells = 0x1000;

}  // namespace

NvmeClient::NvmeClient(sim::nvme::Controller& controller)
    : model(controller), file_(::memfd_create("client", MFD_CLOEXEC)) {
    void* address = MAP_FAILED;
    if (file_ && ::ftruncate(file_.get(), memory_size) == 0)
        address = ::mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (address == MAP_FAILED ||
        model.dma().add(memory_iova, memory_size, {.readable = true, .writable = true}, file_, 0) != 0)
        throw std::runtime_error("no memory for the client");
    bytes_ = {static_cast<std::byte*>(address), memory_size};
    set_command_register(0x6);  // memory space, bus master
}

NvmeClient::~NvmeClient() {
    ::munmap(bytes_.data(), bytes_.size());
}

std::uint32_t NvmeClient::get(std::uint64_t offset) const {
    std::uint32_t value = 0;
    EXPECT_EQ(sim::read_region(model, 0, offset, std::as_writable_bytes(std::span(&value, 1))), 0);
    return value;
}

std::uint64_t NvmeClient::get64(std::uint64_t offset) const {
    std::uint64_t value = 0;
    EXPECT_EQ(sim::read_region(model, 0, offset, std::as_writable_bytes(std::span(&value, 1))), 0);
    return value;
}

void NvmeClient::set(std::uint64_t offset, std::uint32_t value) const {
    EXPECT_EQ(sim::write_region(model, 0, offset, std::as_bytes(std::span(&value, 1))), 0);
}

void NvmeClient::set64(std::uint64_t offset, std::uint64_t value) const {
    EXPECT_EQ(sim::write_region(model, 0, offset, std::as_bytes(std::span(&value, 1))), 0);
}

void NvmeClient::set_command_register(std::uint16_t value) const {
    EXPECT_EQ(sim::write_region(model, config_region, 4, std::as_bytes(std::span(&value, 1))), 0);
}

std::uint64_t NvmeClient::allocate(std::uint64_t size) {
    const std::uint64_t place = next_;
    next_ += (size + 0xffff) / 0x10000 * 0x10000;
    if (next_ > memory_iova + memory_size)
        throw std::runtime_error("the client's memory is too small");
    std::ranges::fill(memory(place, size), std::byte{0});
    return place;
}

void NvmeClient::fill(std::uint64_t iova, std::size_t size, unsigned seed) const {
    std::uint32_t value = seed * 2654435761U + 1;
    for (std::byte& byte : memory(iova, size)) {
        value = value * 1664525U + 1013904223U;
        byte = static_cast<std::byte>(value >> 24);
    }
}

void NvmeClient::enable(unsigned entries, unsigned page_shift) {
    admin_ = {.id = 0,
              .entries = entries,
              .submission = allocate(std::uint64_t{64} * entries),
              .completion = allocate(std::uint64_t{16} * entries)};
    set(0x24, (entries - 1) << 16 | (entries - 1));
    set64(0x28, admin_.submission);
    set64(0x30, admin_.completion);
    set(0x14, 0x00460001 | (page_shift - 12) << 7);
    ASSERT_EQ(get(0x1c), 1U) << "not ready";
}

ClientQueue NvmeClient::make_queue(unsigned id, unsigned entries, unsigned vector, bool interrupts) {
    ClientQueue queue{.id = id,
                      .entries = entries,
                      .submission = allocate(std::uint64_t{64} * entries),
                      .completion = allocate(std::uint64_t{16} * entries)};
    EXPECT_EQ(
        run(admin_, create_completion_queue(id, entries, queue.completion, vector, interrupts)).status(),
        status::success);
    EXPECT_EQ(run(admin_, create_submission_queue(id, entries, queue.submission, id)).status(),
              status::success);
    return queue;
}

std::uint16_t NvmeClient::put(ClientQueue& queue, Command command) const {
    const std::uint16_t identifier = queue.next_identifier++;
    command.identifier(identifier);
    std::memcpy(memory(queue.submission + std::uint64_t{64} * queue.tail, 64).data(), &command, 64);
    queue.tail = (queue.tail + 1) % queue.entries;
    return identifier;
}

void NvmeClient::ring(const ClientQueue& queue) const {
    set(doorbells + std::uint64_t{2} * queue.id * doorbell_stride, queue.tail);
}

void NvmeClient::ring_head(const ClientQueue& queue) const {
    set(doorbells + (std::uint64_t{2} * queue.id + 1) * doorbell_stride, queue.head);
}

std::optional<Completion> NvmeClient::reap(ClientQueue& queue, bool acknowledge) const {
    Completion completion;
    std::memcpy(&completion, memory(queue.completion + std::uint64_t{16} * queue.head, 16).data(), 16);
    if ((completion.dwords[3] >> 16 & 1) != (queue.phase ? 1 : 0))
        return std::nullopt;
    if (++queue.head == queue.entries) {
        queue.head = 0;
        queue.phase = !queue.phase;
    }
    if (acknowledge)
        ring_head(queue);
    return completion;
}

Completion NvmeClient::run(ClientQueue& queue, const Command& command) const {
    const std::uint16_t identifier = put(queue, command);
    ring(queue);
    model.poll();
    const auto completion = reap(queue);
    if (!completion) {
        ADD_FAILURE() << "no completion";
        return {};
    }
    EXPECT_EQ(completion->identifier(), identifier);
    EXPECT_EQ(completion->queue(), queue.id);
    EXPECT_EQ(completion->head(), queue.tail);
    return *completion;
}

// ---- commands ----

Command identify(std::uint64_t page, std::uint32_t what, std::uint32_t nsid) {
    return Command().opcode(0x06).nsid(nsid).prp(page).dword(10, what);
}

Command read_blocks(std::uint64_t first, unsigned blocks, std::uint64_t prp1, std::uint64_t prp2,
                    std::uint32_t nsid) {
    return Command()
        .opcode(0x02)
        .nsid(nsid)
        .prp(prp1, prp2)
        .dword(10, static_cast<std::uint32_t>(first))
        .dword(11, static_cast<std::uint32_t>(first >> 32))
        .dword(12, blocks - 1);
}

Command write_blocks(std::uint64_t first, unsigned blocks, std::uint64_t prp1, std::uint64_t prp2,
                     std::uint32_t nsid) {
    return read_blocks(first, blocks, prp1, prp2, nsid).opcode(0x01);
}

Command create_completion_queue(unsigned id, unsigned entries, std::uint64_t iova, unsigned vector,
                                bool interrupts) {
    return Command()
        .opcode(0x05)
        .prp(iova)
        .dword(10, (entries - 1) << 16 | id)
        .dword(11, vector << 16 | (interrupts ? 3U : 1U));
}

Command create_submission_queue(unsigned id, unsigned entries, std::uint64_t iova, unsigned completion_id) {
    return Command()
        .opcode(0x01)
        .prp(iova)
        .dword(10, (entries - 1) << 16 | id)
        .dword(11, completion_id << 16 | 1);
}

}  // namespace outboard::test
