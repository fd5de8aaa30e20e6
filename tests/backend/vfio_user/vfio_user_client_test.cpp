// The client against servers that conform to the specification, each in its own way.
#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/backend/vfio_user/client_fixture.hpp"
#include "tests/support/expect_error.hpp"
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard::vfio_user {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::from_bytes;
using test::joined;
using test::memory_file;
using test::OddServer;
using test::page;
using test::pattern;
using test::Request;
using test::to_bytes;
using test::VfioUserClient;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Bytes sparse(std::initializer_list<SparseArea> areas) {
    Bytes bytes = to_bytes(SparseMmap{.header = {.id = sparse_mmap_capability, .version = 1, .next = 0},
                                      .areas = static_cast<std::uint32_t>(areas.size()),
                                      .reserved = 0});
    for (const SparseArea& area : areas)
        bytes = joined({bytes, to_bytes(area)});
    return bytes;
}

// ---- opening ----

TEST_F(VfioUserClient, TellsWhatTheServerSays) {
    open();
    EXPECT_EQ(device->name(), "vfio-user:" + server.path());
    EXPECT_EQ(device->region_info(RegionIndex::bar0).size, page);
    EXPECT_TRUE(device->region_info(RegionIndex::bar0).writable);
    EXPECT_TRUE(device->region_info(RegionIndex::bar0).mappable.empty());
    EXPECT_EQ(device->region_info(RegionIndex::bar1).size, 0U);
    EXPECT_EQ(device->interrupt_info(InterruptKind::intx).count, 1U);
    EXPECT_TRUE(device->interrupt_info(InterruptKind::intx).maskable);
    EXPECT_EQ(device->interrupt_info(InterruptKind::msix).count, 5U);
    EXPECT_FALSE(device->interrupt_info(InterruptKind::msix).maskable);
    EXPECT_TRUE(device->resettable());
    EXPECT_EQ(device->dma_page_size(), page);
}

TEST_F(VfioUserClient, IsOpenedByItsName) {
    server.regions[7].content[PCI_VENDOR_ID] = std::byte{0x34};
    server.regions[7].content[PCI_VENDOR_ID + 1] = std::byte{0x12};
    server.start();
    const auto opened = Device::open("vfio-user:" + server.path());
    EXPECT_EQ(opened->config().identity().vendor, 0x1234);
}

TEST_F(VfioUserClient, ALowerMinorVersionIsFine) {
    server.on(Command::version, [&](const Request& request) {
        server.reply(request, to_bytes(Version{.major = 0, .minor = 0}));
    });
    open();
    EXPECT_EQ(device->server().minor, 0);
    EXPECT_EQ(device->server().max_descriptors, 1U);
    EXPECT_EQ(device->server().max_transfer_bytes, 1U << 20);
}

TEST_F(VfioUserClient, RegionsAndInterruptsThatTheServerDoesNotKnowAreNotThere) {
    server.on(Command::region_info, [&](const Request& request) {
        if (from_bytes<RegionInfo>(request.body).index == 3)
            server.reply_error(request, EINVAL);
        else
            server.usual(request);
    });
    server.on(Command::interrupt_info, [&](const Request& request) { server.reply_error(request, EINVAL); });
    open();
    EXPECT_EQ(device->region_info(RegionIndex::bar3).size, 0U);
    EXPECT_EQ(device->interrupt_info(InterruptKind::msi).count, 0U);
}

TEST_F(VfioUserClient, ADeviceWithFewRegionsHasNoConfigurationSpace) {
    server.on(Command::device_info, [&](const Request& request) {
        server.reply(
            request,
            to_bytes(DeviceInfo{
                .argument_size = 16, .flags = device_flag::pci, .regions = 2, .interrupts = 0xffffffff}));
    });
    const Error error = outboard::test::error_of([&] { open(); });
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("no configuration space"));
}

TEST_F(VfioUserClient, AnswersAboutARegionMayNeedMoreRoom) {
    Fd file = memory_file(page);
    Bytes areas = to_bytes(SparseMmap{
        .header = {.id = sparse_mmap_capability, .version = 1, .next = 0}, .areas = 300, .reserved = 0});
    for (int i = 0; i < 300; ++i)
        areas = joined({areas, to_bytes(SparseArea{.offset = 0, .size = page})});
    server.regions[0].flags |= region_flag::mappable;
    server.regions[0].capabilities = areas;
    server.regions[0].descriptors = {file.get()};
    open();
    EXPECT_EQ(device->region_info(RegionIndex::bar0).mappable.size(), 300U);
}

TEST_F(VfioUserClient, AnAnswerThatGrowsEachTimeEnds) {
    server.on(Command::region_info, [&](const Request& request) {
        auto info = from_bytes<RegionInfo>(request.body);
        ++info.argument_size;
        server.reply(request, to_bytes(info));
    });
    EXPECT_THAT(outboard::test::error_of([&] { open(); }).what(), HasSubstr("longer each time"));
}

TEST_F(VfioUserClient, AServerThatIsNotThereIsNamed) {
    const std::string path = testing::TempDir() + "nobody";
    EXPECT_ERROR(
        VfioUserBackend::open(path), ErrorKind::not_found,
        fmt::format("cannot open vfio-user:{0}: there is no socket {0}; start the server that offers "
                    "the device first",
                    path)
            .c_str());
    EXPECT_ERROR(VfioUserBackend::open(""), ErrorKind::usage,
                 "cannot open vfio-user:: the path of a socket has 1 to 107 bytes");
    EXPECT_EQ(outboard::test::error_of([] { VfioUserBackend::open(std::string(108, 'x')); }).kind(),
              ErrorKind::usage);
}

TEST_F(VfioUserClient, AServerWithAnotherClientIsBusy) {
    open();
    // Its queue takes connections, but nobody answers on them.
    const auto again = [&] { return VfioUserBackend::open(server.path(), {.reply_limit = 10ms}); };
    const Error waiting = outboard::test::error_of(again);
    EXPECT_EQ(waiting.kind(), ErrorKind::busy);
    EXPECT_THAT(waiting.what(), HasSubstr("another client may have the device"));
    // Then the queue is full.
    EXPECT_EQ(outboard::test::error_of(again).kind(), ErrorKind::busy);
    const Error full = outboard::test::error_of(again);
    EXPECT_EQ(full.kind(), ErrorKind::busy);
    EXPECT_THAT(full.what(), HasSubstr("takes no further connection"));
}

TEST_F(VfioUserClient, AServerThatSaysItIsBusyIsBusy) {
    server.on(Command::version, [&](const Request& request) { server.reply_error(request, EBUSY); });
    EXPECT_EQ(outboard::test::error_of([&] { open(); }).kind(), ErrorKind::busy);
}

// ---- regions ----

TEST_F(VfioUserClient, ReadsAndWritesByMessages) {
    open();
    const Bytes data = pattern(8);
    for (const std::size_t size : {1U, 2U, 4U, 8U}) {
        ASSERT_EQ(device->write_region(RegionIndex::bar0, 64, std::span(data).first(size)), 0);
        Bytes back(size);
        ASSERT_EQ(device->read_region(RegionIndex::bar0, 64, back), 0);
        EXPECT_TRUE(std::ranges::equal(back, std::span(data).first(size)));
    }
    EXPECT_EQ(server.bodies(Command::region_read).size(), 4U);
    EXPECT_EQ(server.bodies(Command::region_write).size(), 4U);
    Bytes outside(8);
    EXPECT_EQ(device->read_region(RegionIndex::bar0, page - 4, outside), EINVAL);
    EXPECT_EQ(device->write_region(RegionIndex::bar1, 0, outside), EINVAL);
    EXPECT_EQ(device->read_region(RegionIndex::bar0, ~0ULL - 3, outside), EINVAL);
}

TEST_F(VfioUserClient, LongAccessesAreSplitAtTheServersLimit) {
    server.set_capabilities(R"({"capabilities": {"max_data_xfer_size": 1000}})");
    open();
    const Bytes data = pattern(page);
    ASSERT_EQ(device->write_region(RegionIndex::bar0, 0, data), 0);
    Bytes back(page);
    ASSERT_EQ(device->read_region(RegionIndex::bar0, 0, back), 0);
    EXPECT_EQ(back, data);
    std::vector<std::uint32_t> sizes;
    for (const Bytes& body : server.bodies(Command::region_read))
        sizes.push_back(from_bytes<RegionAccess>(body).count);
    EXPECT_THAT(sizes, ElementsAre(1000, 1000, 1000, 1000, 96));
}

TEST_F(VfioUserClient, AnErrorOfTheServerIsTheCallsAndNoMore) {
    server.on(Command::region_read, [this, fail = true](const Request& request) mutable {
        if (std::exchange(fail, false))
            server.reply_error(request, EPERM);
        else
            server.usual(request);
    });
    open();
    Bytes data(4);
    EXPECT_EQ(device->read_region(RegionIndex::bar0, 0, data), EPERM);
    EXPECT_EQ(device->read_region(RegionIndex::bar0, 0, data), 0);
}

TEST_F(VfioUserClient, AnAnswerAboutAnotherPlaceIsNotTaken) {
    server.on(Command::region_read, [&](const Request& request) {
        auto access = from_bytes<RegionAccess>(request.body);
        access.offset += 4;
        server.reply(request, joined({to_bytes(access), Bytes(access.count)}));
    });
    open();
    Bytes data(4);
    EXPECT_EQ(device->read_region(RegionIndex::bar0, 0, data), EPROTO);
}

TEST_F(VfioUserClient, ARunOfWritesIsOneMessageWhereTheServerTakesIt) {
    server.set_capabilities(R"({"capabilities": {"write_multiple": true}})");
    server.regions[0].content.resize(page);
    open();
    const Bytes data = pattern(200);
    ASSERT_EQ(device->write_run(RegionIndex::bar0, 4, std::span(data).first(8), 2), 0);
    EXPECT_EQ(server.bodies(Command::region_write_multi).size(), 1U);
    ASSERT_EQ(device->write_run(RegionIndex::bar0, 100, data, 1), 0);
    EXPECT_EQ(server.bodies(Command::region_write_multi).size(), 1U + 4U);
    EXPECT_EQ(device->write_run(RegionIndex::bar0, page - 4, std::span(data).first(8), 2), EINVAL);
    Bytes back(200);
    ASSERT_EQ(device->read_region(RegionIndex::bar0, 100, back), 0);
    EXPECT_EQ(back, data);
    EXPECT_TRUE(server.bodies(Command::region_write).empty());
}

TEST_F(VfioUserClient, ARunOfWritesIsOneWriteEachOtherwise) {
    open();
    ASSERT_EQ(device->write_run(RegionIndex::bar0, 4, pattern(8), 2), 0);
    EXPECT_EQ(server.bodies(Command::region_write).size(), 4U);
}

TEST_F(VfioUserClient, ARunOfWritesThatStopsHalfWayIsAnError) {
    server.set_capabilities(R"({"capabilities": {"write_multiple": true}})");
    server.on(Command::region_write_multi,
              [&](const Request& request) { server.reply(request, to_bytes(WriteMulti{.writes = 3})); });
    open();
    EXPECT_EQ(device->write_run(RegionIndex::bar0, 4, pattern(8), 2), EIO);
}

TEST_F(VfioUserClient, ThreadsMayAccessRegionsTogether) {
    for (std::size_t i = 0; i < page; ++i)
        server.regions[0].content[i] = static_cast<std::byte>(i / 8);
    open();
    const auto work = [&](std::size_t slot) {
        for (int round = 0; round < 200; ++round) {
            std::array<std::byte, 8> data{};
            ASSERT_EQ(device->read_region(RegionIndex::bar0, slot * 8, data), 0);
            ASSERT_EQ(data[7], static_cast<std::byte>(slot));
        }
    };
    std::vector<std::thread> threads;
    for (std::size_t slot = 0; slot < 4; ++slot)
        threads.emplace_back(work, slot);
    for (std::thread& thread : threads)
        thread.join();
}

// ---- shared areas ----

TEST_F(VfioUserClient, AWholeRegionIsMapped) {
    const Fd file = memory_file(4 * page);
    server.regions[0].flags |= region_flag::mappable;
    server.regions[0].offset = 2 * page;
    server.regions[0].descriptors = {file.get()};
    open();
    Device wrapped(std::move(device));
    const Region region = wrapped.region(RegionIndex::bar0);
    ASSERT_TRUE(region.mapped());
    region.store<std::uint32_t>(8, 0x12345678);
    std::uint32_t seen = 0;
    ASSERT_EQ(::pread(file.get(), &seen, sizeof seen, 2 * page + 8), 4);
    EXPECT_EQ(seen, 0x12345678U);
    EXPECT_TRUE(server.bodies(Command::region_write).empty()) << "a message for mapped memory";
}

TEST_F(VfioUserClient, APartOfARegionIsMappedAndTheRestIsReachedByMessages) {
    const Fd file = memory_file(4 * page);
    server.regions[0].content.resize(4 * page);
    server.regions[0].flags |= region_flag::mappable;
    server.regions[0].capabilities =
        sparse({{.offset = page, .size = page}, {.offset = 3 * page, .size = page}});
    server.regions[0].descriptors = {file.get()};
    open();
    Device wrapped(std::move(device));
    const Region region = wrapped.region(RegionIndex::bar0);
    EXPECT_FALSE(region.mapped());
    region.store<std::uint32_t>(page, 1);
    region.store<std::uint32_t>(3 * page, 3);
    EXPECT_TRUE(server.bodies(Command::region_write).empty());
    region.store<std::uint32_t>(0, 7);
    region.store<std::uint32_t>(2 * page, 7);
    EXPECT_EQ(server.bodies(Command::region_write).size(), 2U);
    for (const unsigned number : {1U, 3U}) {
        std::uint32_t seen = 0;
        ASSERT_EQ(::pread(file.get(), &seen, sizeof seen, number * static_cast<off_t>(page)), 4);
        EXPECT_EQ(seen, number);
    }
}

TEST_F(VfioUserClient, EachAreaMayHaveAFileOfItsOwn) {
    const Fd one = memory_file(4 * page);
    const Fd two = memory_file(4 * page);
    server.regions[0].content.resize(4 * page);
    server.regions[0].flags |= region_flag::mappable;
    server.regions[0].capabilities =
        sparse({{.offset = page, .size = page}, {.offset = 3 * page, .size = page}});
    server.regions[0].descriptors = {one.get(), two.get()};
    open();
    device->map_region(RegionIndex::bar0, {.offset = page, .size = page})[0] = std::byte{1};
    device->map_region(RegionIndex::bar0, {.offset = 3 * page, .size = page})[0] = std::byte{3};
    char seen = 0;
    ASSERT_EQ(::pread(one.get(), &seen, 1, page), 1);
    EXPECT_EQ(seen, 1);
    ASSERT_EQ(::pread(two.get(), &seen, 1, 3 * page), 1);
    EXPECT_EQ(seen, 3);
    EXPECT_THROW(device->map_region(RegionIndex::bar0, {.offset = 0, .size = page}), Error);
}

TEST_F(VfioUserClient, AFileThatIsCutShortLaterIsSurvived) {
    const Fd file = memory_file(page);
    server.regions[0].flags |= region_flag::mappable;
    server.regions[0].descriptors = {file.get()};
    open();
    Device wrapped(std::move(device));
    const Region region = wrapped.region(RegionIndex::bar0);
    ASSERT_TRUE(region.mapped());
    region.store<std::uint32_t>(8, 1);
    ASSERT_EQ(::ftruncate(file.get(), 0), 0);
    EXPECT_EQ(region.load<std::uint32_t>(8), 0U);
    region.store<std::uint32_t>(8, 1);
}

TEST_F(VfioUserClient, WhatCannotBeMappedIsReachedByMessages) {
    const Fd too_short = memory_file(page - 1);
    const Fd no_file(::eventfd(0, EFD_CLOEXEC));
    const Fd not_in_memory(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    for (std::uint32_t index = 0; const int fd : {too_short.get(), no_file.get(), not_in_memory.get()}) {
        server.regions[index].content.resize(page);
        server.regions[index].flags |= region_flag::mappable;
        server.regions[index].descriptors = {fd};
        ++index;
    }
    server.regions[3] = server.regions[0];
    server.regions[3].descriptors = {};  // promised, but not there
    open();
    for (const RegionIndex index :
         {RegionIndex::bar0, RegionIndex::bar1, RegionIndex::bar2, RegionIndex::bar3}) {
        EXPECT_TRUE(device->region_info(index).mappable.empty());
        Bytes data(4);
        EXPECT_EQ(device->read_region(index, 0, data), 0);
    }
}

// ---- interrupts ----

TEST_F(VfioUserClient, EventfdsOfAllKindsReachTheServer) {
    open();
    constexpr std::array kinds{InterruptKind::intx, InterruptKind::msi, InterruptKind::msix};
    for (const InterruptKind kind : kinds) {
        const Fd event(::eventfd(0, EFD_CLOEXEC));
        device->set_interrupts(kind, std::array{event.get()});
        const auto set = from_bytes<SetInterrupts>(server.bodies(Command::set_interrupts).back());
        EXPECT_EQ(set.flags, set_flag::data_eventfd | set_flag::action_trigger);
        EXPECT_EQ(set.index, static_cast<std::uint32_t>(kind));
        EXPECT_EQ(set.count, 1U);
        EXPECT_EQ(server.descriptor_counts(Command::set_interrupts).back(), 1U);
        EXPECT_THROW(
            device->set_interrupts(kinds[(static_cast<std::size_t>(kind) + 1) % 3], std::array{event.get()}),
            Error)
            << "two kinds at once";
        device->set_interrupts(kind, {});
        const auto off = from_bytes<SetInterrupts>(server.bodies(Command::set_interrupts).back());
        EXPECT_EQ(off.flags, set_flag::data_none | set_flag::action_trigger);
        EXPECT_EQ(off.count, 0U);
    }
}

TEST_F(VfioUserClient, ManyVectorsAreEnabledInAsManyMessagesAsTheServerNeeds) {
    server.set_capabilities(R"({"capabilities": {"max_msg_fds": 2}})");
    open();
    Device wrapped(std::move(device));
    const auto interrupts = wrapped.enable_interrupts(InterruptKind::msix, 5);
    EXPECT_THAT(server.descriptor_counts(Command::set_interrupts), ElementsAre(2, 2, 1));
    EXPECT_EQ(from_bytes<SetInterrupts>(server.bodies(Command::set_interrupts)[1]).start, 2U);
    wrapped.disable_interrupts(InterruptKind::msix);
}

TEST_F(VfioUserClient, VectorsThatMustComeTogetherAndCannotAreAnError) {
    server.set_capabilities(R"({"capabilities": {"max_msg_fds": 2}})");
    server.interrupts[2].flags |= interrupt_flag::no_resize;
    open();
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    EXPECT_EQ(outboard::test::error_of([&] {
                  device->set_interrupts(InterruptKind::msix, std::vector<int>(3, event.get()));
              }).kind(),
              ErrorKind::unsupported);
    EXPECT_NO_THROW(device->set_interrupts(InterruptKind::msix, std::vector<int>(2, event.get())));
}

TEST_F(VfioUserClient, VectorsAreAllOffWhenOneFails) {
    server.set_capabilities(R"({"capabilities": {"max_msg_fds": 2}})");
    server.on(Command::set_interrupts, [&](const Request& request) {
        if (from_bytes<SetInterrupts>(request.body).start == 2)
            server.reply_error(request, ENOSPC);
        else
            server.usual(request);
    });
    open();
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    EXPECT_THROW(device->set_interrupts(InterruptKind::msix, std::vector<int>(5, event.get())), Error);
    const auto last = from_bytes<SetInterrupts>(server.bodies(Command::set_interrupts).back());
    EXPECT_EQ(last.flags, set_flag::data_none | set_flag::action_trigger);
    EXPECT_NO_THROW(device->set_interrupts(InterruptKind::intx, std::array{event.get()}));
}

TEST_F(VfioUserClient, AServerThatTakesNoDescriptorsHasNoInterrupts) {
    server.set_capabilities(R"({"capabilities": {"max_msg_fds": 0}})");
    open();
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    EXPECT_EQ(outboard::test::error_of([&] {
                  device->set_interrupts(InterruptKind::intx, std::array{event.get()});
              }).kind(),
              ErrorKind::unsupported);
}

TEST_F(VfioUserClient, IntxIsMaskedAndUnmaskedByMessage) {
    open();
    EXPECT_EQ(device->mask_intx(), 0);
    EXPECT_EQ(device->unmask_intx(), 0);
    const auto sent = server.bodies(Command::set_interrupts);
    ASSERT_EQ(sent.size(), 2U);
    EXPECT_EQ(from_bytes<SetInterrupts>(sent[0]).flags, set_flag::data_none | set_flag::action_mask);
    EXPECT_EQ(from_bytes<SetInterrupts>(sent[1]).flags, set_flag::data_none | set_flag::action_unmask);
}

TEST_F(VfioUserClient, IntxThatCannotBeMaskedIsLeftAlone) {
    server.interrupts[0].flags = interrupt_flag::eventfd;
    open();
    EXPECT_EQ(device->mask_intx(), EOPNOTSUPP);
    EXPECT_EQ(device->unmask_intx(), 0);
    EXPECT_TRUE(server.bodies(Command::set_interrupts).empty());
}

// ---- the end ----

TEST_F(VfioUserClient, AReplyToNothingEndsTheConnection) {
    open();
    server.client().send(to_bytes(Header{.message_id = 1,
                                         .command = static_cast<std::uint16_t>(Command::region_read),
                                         .size = sizeof(Header),
                                         .flags = header_flag::type_reply,
                                         .error = 0}));
    server.join();  // the client closes
    Bytes data(4);
    EXPECT_EQ(device->read_region(RegionIndex::bar0, 0, data), ENODEV);
    EXPECT_THAT(outboard::test::error_of([&] { device->reset(); }).what(),
                HasSubstr("the server breaks the protocol: a reply belongs to no command"));
}

TEST_F(VfioUserClient, AfterALateAnswerEverythingFailsAtOnce) {
    server.on(Command::region_read, [](const Request&) {});
    open(20ms);
    Bytes data(4);
    EXPECT_EQ(device->read_region(RegionIndex::bar0, 0, data), ETIMEDOUT);
    const TimePoint start = Clock::now();
    for (int i = 0; i < 1000; ++i)
        EXPECT_EQ(device->write_region(RegionIndex::bar0, 0, data), ENODEV);
    const Error error = outboard::test::error_of([&] { device->reset(); });
    EXPECT_EQ(error.kind(), ErrorKind::timed_out);
    EXPECT_THAT(error.what(), HasSubstr("the server did not answer in time"));
    EXPECT_EQ(device->unmask_intx(), ENODEV);
    EXPECT_LT(Clock::now() - start, 5s);
}

TEST_F(VfioUserClient, AnArenaOutlivesItsServer) {
    open();
    Device wrapped(std::move(device));
    wrapped.create_arena({.size = page});
    server.close_client();
    EXPECT_THROW(wrapped.reset(), Error);
}

TEST_F(VfioUserClient, ClosingLeavesTheDeviceQuiet) {
    server.regions[7].content[PCI_COMMAND] = std::byte{PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER};
    open();
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    device->set_interrupts(InterruptKind::msix, std::array{event.get()});
    map(0x1000, pages(0, 1));
    map(0x8000, pages(1, 1));
    device.reset();
    server.join();
    const auto last = from_bytes<SetInterrupts>(server.bodies(Command::set_interrupts).back());
    EXPECT_EQ(last.flags, set_flag::data_none | set_flag::action_trigger);
    EXPECT_EQ(last.index, 2U);
    EXPECT_EQ(server.regions[7].content[PCI_COMMAND], std::byte{PCI_COMMAND_MEMORY});
    EXPECT_EQ(server.bodies(Command::dma_unmap).size(), 2U);
    EXPECT_EQ(server.log().back().first, Command::dma_unmap);
}

TEST_F(VfioUserClient, AResetHasALimitOfItsOwn) {
    server.on(Command::device_reset, [](const Request&) {});
    server.start();
    device = VfioUserBackend::open(server.path(), {.reply_limit = 1h, .reset_limit = 10ms});
    EXPECT_EQ(outboard::test::error_of([&] { device->reset(); }).kind(), ErrorKind::timed_out);
}

}  // namespace
}  // namespace outboard::vfio_user
