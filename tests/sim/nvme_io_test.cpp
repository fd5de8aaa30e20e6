// I/O commands of the simulated NVMe controller: data, blocks, caches, errors.
#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

#include "tests/sim/nvme_client.hpp"
#include <gtest/gtest.h>

namespace outboard {
namespace {

using sim::StorageOptions;
using sim::nvme::Controller;
using test::ClientQueue;
using test::Command;
using test::Completion;
using test::NvmeClient;
namespace status = test::status;

class NvmeIo : public testing::Test {
  protected:
    void start(const sim::nvme::Options& options) {
        model = std::make_unique<Controller>(options);
        client = std::make_unique<NvmeClient>(*model);
        client->enable();
        queue = client->make_queue(1, 64);
    }
    void SetUp() override {
        start({.namespaces = {{.size = 4 << 20, .write_cache = 1 << 20},
                              {.size = 4 << 20, .block_size = 4096}}});
    }

    unsigned status_of(const Command& command) { return client->run(queue, command).status(); }
    bool equal(std::uint64_t a, std::uint64_t b, std::size_t size) {
        return std::ranges::equal(client->memory(a, size), client->memory(b, size));
    }
    bool zero(std::uint64_t iova, std::size_t size) {
        return std::ranges::all_of(client->memory(iova, size),
                                   [](std::byte byte) { return byte == std::byte{0}; });
    }
    static Command flush(std::uint32_t nsid) { return Command().opcode(0x00).nsid(nsid); }

    std::unique_ptr<Controller> model;
    std::unique_ptr<NvmeClient> client;
    ClientQueue queue;
};

TEST_F(NvmeIo, ReadsWhatWasWritten) {
    const std::uint64_t out = client->allocate(8192);
    const std::uint64_t in = client->allocate(8192);
    client->fill(out, 8192, 1);
    EXPECT_EQ(status_of(test::write_blocks(5, 8, out)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(5, 8, in)), status::success);
    EXPECT_TRUE(equal(out, in, 4096));
    EXPECT_EQ(status_of(test::read_blocks(6, 1, in)), status::success);
    EXPECT_TRUE(equal(out + 512, in, 512));
    EXPECT_EQ(status_of(test::read_blocks(4, 1, in)), status::success);
    EXPECT_TRUE(zero(in, 512)) << "beside it";
    EXPECT_EQ(status_of(test::read_blocks(0, 2, in, in + 4096, 2)), status::success);
    EXPECT_TRUE(zero(in, 8192)) << "another namespace";
    EXPECT_EQ(status_of(test::write_blocks(1, 2, out, out + 4096, 2)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(1, 2, in, in + 4096, 2)), status::success);
    EXPECT_TRUE(equal(out, in, 8192));
    EXPECT_EQ(model->counters().read_commands, 5U);
    EXPECT_EQ(model->counters().units_written, 8U + 16U);
}

// Blocks of 512 and of 4096 bytes that lie in pieces, at any dword offset.
TEST_F(NvmeIo, DataAtAnyOffset) {
    const std::uint64_t out = client->allocate(1 << 16);
    const std::uint64_t in = client->allocate(1 << 16);
    const std::uint64_t list = client->page();
    client->fill(out, 1 << 16, 2);
    for (const std::uint64_t offset : {4U, 508U, 512U, 2048U, 4092U}) {
        for (const std::uint32_t nsid : {1U, 2U}) {
            const unsigned block = nsid == 1 ? 512 : 4096;
            std::vector<std::uint64_t> entries;
            for (std::uint64_t i = 1; i < 9; ++i)
                entries.push_back(out + i * 4096);
            std::memcpy(client->memory(list, 64).data(), entries.data(), 64);
            EXPECT_EQ(status_of(test::write_blocks(32, 32768 / block, out + offset, list, nsid)),
                      status::success);
            for (std::uint64_t i = 1; i < 9; ++i)
                entries[i - 1] = in + (9 - i) * 4096;  // the other way round
            std::memcpy(client->memory(list, 64).data(), entries.data(), 64);
            EXPECT_EQ(status_of(test::read_blocks(32, 32768 / block, in + offset, list, nsid)),
                      status::success);
            EXPECT_TRUE(equal(out + offset, in + offset, 4096 - offset));
            for (std::uint64_t i = 1; i < 8; ++i)
                EXPECT_TRUE(equal(out + i * 4096, in + (9 - i) * 4096, 4096));
            EXPECT_TRUE(equal(out + 8 * 4096, in + 4096, offset));
        }
    }
}

TEST_F(NvmeIo, RefusesBlocksThatAreNotThere) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(test::read_blocks(8191, 1, page)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(8191, 2, page)), status::out_of_range);
    EXPECT_EQ(status_of(test::write_blocks(8192, 1, page)), status::out_of_range);
    EXPECT_EQ(status_of(test::read_blocks(~0ULL, 1, page)), status::out_of_range);
    EXPECT_EQ(status_of(test::read_blocks(~0ULL, 65536, page)), status::out_of_range);
    EXPECT_EQ(status_of(test::read_blocks(1ULL << 55, 1, page)), status::out_of_range);
    EXPECT_TRUE(client->run(queue, test::write_blocks(8192, 1, page)).do_not_retry());
    for (const std::uint32_t nsid : {0U, 3U, 0xffffffffU})
        EXPECT_EQ(status_of(test::read_blocks(0, 1, page, 0, nsid)), status::invalid_namespace);
}

TEST_F(NvmeIo, ObeysTheLargestTransfer) {
    const std::uint64_t memory = client->allocate(1 << 20);
    const std::uint64_t list = client->page();
    for (std::uint64_t i = 0; i < 256; ++i) {
        const std::uint64_t entry = memory + (i + 1) * 4096;
        std::memcpy(client->memory(list + i * 8, 8).data(), &entry, 8);
    }
    EXPECT_EQ(status_of(test::read_blocks(0, 1024, memory, list)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(0, 1025, memory, list)), status::invalid_field);
    EXPECT_EQ(status_of(test::read_blocks(0, 128, memory, list, 2)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(0, 129, memory, list, 2)), status::invalid_field);
}

TEST_F(NvmeIo, MemoryThatIsNotMapped) {
    const std::uint64_t page = client->page();
    const std::uint64_t last = NvmeClient::memory_iova + NvmeClient::memory_size - 4096;
    client->fill(page, 4096, 3);
    EXPECT_EQ(status_of(test::write_blocks(0, 8, page)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(0, 1, 0x1000)), status::data_transfer_error);
    EXPECT_EQ(status_of(test::write_blocks(0, 1, 0x1000)), status::data_transfer_error);
    EXPECT_EQ(status_of(test::write_blocks(0, 16, last, last + 4096)), status::data_transfer_error);
    EXPECT_EQ(status_of(test::read_blocks(0, 1, ~0ULL - 3)), status::data_transfer_error);
    EXPECT_EQ(model->dma().counts().read_faults, 2U);
    EXPECT_EQ(model->dma().counts().write_faults, 2U);
    const std::uint64_t in = client->page();
    EXPECT_EQ(status_of(test::read_blocks(0, 8, in)), status::success);
    EXPECT_TRUE(equal(page, in, 4096)) << "a write that failed has changed nothing";
}

TEST_F(NvmeIo, MappingsMayChange) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(test::read_blocks(0, 8, page)), status::success);
    ASSERT_EQ(model->dma().remove(NvmeClient::memory_iova, NvmeClient::memory_size), 0);
    client->put(queue, test::read_blocks(0, 8, page));
    client->ring(queue);
    EXPECT_EQ(model->poll(), sim::Polled::asleep) << "the queue is gone: no stale window is used";
    EXPECT_EQ(client->get(0x1c), 3U);
}

TEST_F(NvmeIo, PrpOffsets) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(test::read_blocks(0, 1, page + 1)), status::invalid_prp_offset);
    EXPECT_EQ(status_of(test::read_blocks(0, 16, page, page + 0x1004)), status::invalid_prp_offset);
    EXPECT_EQ(status_of(test::read_blocks(0, 1, page).flags(0x40)), status::invalid_field);
    EXPECT_EQ(status_of(test::read_blocks(0, 1, page).flags(0x02)), status::invalid_field);
}

TEST_F(NvmeIo, Compares) {
    const std::uint64_t page = client->page();
    client->fill(page, 4096, 4);
    EXPECT_EQ(status_of(test::write_blocks(0, 8, page)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(0, 8, page).opcode(0x05)), status::success);
    client->memory(page, 4096)[4095] ^= std::byte{1};
    EXPECT_EQ(status_of(test::read_blocks(0, 8, page).opcode(0x05)), status::compare_failed);
    EXPECT_EQ(status_of(test::read_blocks(0, 7, page).opcode(0x05)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(0, 1, 0x1000).opcode(0x05)), status::data_transfer_error);
}

TEST_F(NvmeIo, WritesZeroes) {
    const std::uint64_t page = client->page();
    const std::uint64_t in = client->page();
    client->fill(page, 4096, 5);
    EXPECT_EQ(status_of(test::write_blocks(0, 8, page)), status::success);
    EXPECT_EQ(status_of(test::write_blocks(1, 6, 0).opcode(0x08)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(0, 8, in)), status::success);
    EXPECT_TRUE(equal(page, in, 512));
    EXPECT_TRUE(zero(in + 512, 6 * 512));
    EXPECT_TRUE(equal(page + 7 * 512, in + 7 * 512, 512));
    EXPECT_EQ(status_of(test::write_blocks(0, 8192, 0).opcode(0x08)), status::success) << "larger than MDTS";
    EXPECT_EQ(status_of(test::write_blocks(1, 8192, 0).opcode(0x08)), status::out_of_range);
}

TEST_F(NvmeIo, Deallocates) {
    struct Range {
        std::uint32_t attributes;
        std::uint32_t blocks;
        std::uint64_t first;
    };
    const std::uint64_t page = client->page();
    const std::uint64_t in = client->page();
    const std::uint64_t list = client->page();
    client->fill(page, 4096, 6);
    EXPECT_EQ(status_of(test::write_blocks(0, 8, page)), status::success);
    const auto manage = [&](const std::array<Range, 2>& ranges, std::uint32_t attributes) {
        std::memcpy(client->memory(list, 32).data(), ranges.data(), 32);
        return status_of(Command().opcode(0x09).nsid(1).prp(list).dword(10, 1).dword(11, attributes));
    };
    EXPECT_EQ(manage({{{0, 2, 1}, {0, 1, 5}}}, 1), status::success) << "a hint";
    EXPECT_EQ(status_of(test::read_blocks(0, 8, in)), status::success);
    EXPECT_TRUE(equal(page, in, 4096));
    EXPECT_EQ(manage({{{0, 2, 1}, {0, 1, 8192}}}, 4), status::out_of_range);
    EXPECT_EQ(status_of(test::read_blocks(0, 8, in)), status::success);
    EXPECT_TRUE(equal(page, in, 4096)) << "none of them";
    EXPECT_EQ(manage({{{0, 2, 1}, {0, 0, 8192}}}, 4), status::success) << "nothing, at the end";
    EXPECT_EQ(manage({{{0, 2, 1}, {0, 1, 5}}}, 4), status::success);
    EXPECT_EQ(status_of(test::read_blocks(0, 8, in)), status::success);
    EXPECT_TRUE(zero(in + 512, 1024));
    EXPECT_TRUE(equal(page + 1536, in + 1536, 1024));
    EXPECT_TRUE(zero(in + 2560, 512));
    EXPECT_EQ(status_of(Command().opcode(0x09).nsid(1).prp(0x1000).dword(11, 4)),
              status::data_transfer_error);
}

TEST_F(NvmeIo, FlushesAndForcedWritesSurviveAPowerCut) {
    const std::uint64_t page = client->page();
    const std::uint64_t in = client->page();
    constexpr unsigned writes = 64;
    const auto write_all = [&](std::uint32_t bits) {
        for (unsigned i = 0; i < writes; ++i) {
            client->fill(page, 512, i + 1);
            EXPECT_EQ(status_of(test::write_blocks(i, 1, page).dword(12, bits)), status::success);
        }
    };
    const auto kept = [&] {
        model->cut_power(1);
        client->enable();
        queue = client->make_queue(1, 64);
        unsigned count = 0;
        for (unsigned i = 0; i < writes; ++i) {
            client->fill(page, 512, i + 1);
            EXPECT_EQ(status_of(test::read_blocks(i, 1, in)), status::success);
            count += equal(page, in, 512) ? 1U : 0U;
            EXPECT_TRUE(equal(page, in, 512) || zero(in, 512)) << "neither old nor new";
        }
        EXPECT_EQ(status_of(test::write_blocks(0, writes, 0).opcode(0x08)), status::success);
        return count;
    };
    write_all(0);
    EXPECT_LT(kept(), writes);
    write_all(0);
    EXPECT_EQ(status_of(flush(1)), status::success);
    EXPECT_EQ(kept(), writes);
    write_all(0);
    EXPECT_EQ(status_of(flush(0xffffffff)), status::success);
    EXPECT_EQ(kept(), writes);
    write_all(1U << 30);
    EXPECT_EQ(kept(), writes) << "force unit access";
    write_all(0);
    EXPECT_EQ(client->run(client->admin(), Command().opcode(0x09).dword(10, 6)).status(), status::success);
    EXPECT_EQ(kept(), writes) << "the cache was turned off, which flushes it";
    EXPECT_EQ(client->run(client->admin(), Command().opcode(0x09).dword(10, 6)).status(), status::success);
    write_all(0);
    EXPECT_EQ(kept(), writes) << "the cache is off";
    write_all(0);
    client->set(0x14, 0x00464001);
    EXPECT_EQ(client->get(0x1c), 0x9U);
    EXPECT_EQ(kept(), writes) << "a normal shutdown";
    EXPECT_EQ(model->counters().unsafe_shutdowns, 6U);
}

TEST_F(NvmeIo, FlushChecksItsNamespace) {
    EXPECT_EQ(status_of(flush(2)), status::success);
    EXPECT_EQ(status_of(flush(0)), status::invalid_namespace);
    EXPECT_EQ(status_of(flush(3)), status::invalid_namespace);
}

TEST_F(NvmeIo, RefusesUnknownCommands) {
    for (const std::uint8_t opcode :
         std::initializer_list<std::uint8_t>{0x04, 0x0c, 0x0d, 0x0e, 0x11, 0x15, 0x80, 0xff})
        EXPECT_EQ(status_of(Command().opcode(opcode).nsid(1)), status::invalid_opcode) << unsigned{opcode};
}

TEST_F(NvmeIo, ANullNamespaceChecksButKeepsNothing) {
    start({.namespaces = {{.kind = StorageOptions::Kind::null, .size = 1ULL << 40}}});
    const std::uint64_t page = client->page();
    client->fill(page, 4096, 7);
    EXPECT_EQ(status_of(test::write_blocks(1 << 30, 8, page)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(1 << 30, 8, page)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(1ULL << 31, 1, page)), status::out_of_range);
    EXPECT_EQ(status_of(test::read_blocks(0, 1, 0x1000)), status::data_transfer_error);
    EXPECT_EQ(status_of(test::write_blocks(0, 1, 0x1000)), status::data_transfer_error);
}

TEST_F(NvmeIo, LargePages) {
    client->set(0x14, 0);
    client->enable(16, 16);
    queue = client->make_queue(1, 64);
    const std::uint64_t out = client->allocate(1 << 17);
    const std::uint64_t in = client->allocate(1 << 17);
    client->fill(out, 1 << 17, 8);
    EXPECT_EQ(status_of(test::write_blocks(0, 128, out + 0x4000, out + 0x10000)), status::success);
    EXPECT_EQ(status_of(test::read_blocks(0, 128, in + 0x4000, in + 0x10000)), status::success);
    EXPECT_TRUE(equal(out + 0x4000, in + 0x4000, 0x10000));
    EXPECT_EQ(status_of(test::read_blocks(0, 128, in + 0x4000, in + 0x11000)), status::invalid_prp_offset);
}

}  // namespace
}  // namespace outboard
