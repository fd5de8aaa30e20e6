// Every command of the client, answered in every wrong way: an Error or an errno value each time, in time.
#include "outboard/backend/vfio_user/vfio_user_backend.hpp"
#include "outboard/base/error.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "tests/backend/vfio_user/odd_server.hpp"
#include <gtest/gtest.h>
#include <sys/eventfd.h>

namespace outboard::vfio_user {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::first_of;
using test::joined;
using test::OddServer;
using test::Request;
using test::to_bytes;

/// A wrong way to answer.
struct Oddity {
    const char* name;
    void (*answer)(OddServer&, const Request&);
    bool never_answers = false;  ///< the client waits for its limit
};

Header header(const Request& request, std::size_t size = sizeof(Header)) {
    Header made = OddServer::reply_header(request);
    made.size = static_cast<std::uint32_t>(size);
    return made;
}

constexpr std::array oddities{
    Oddity{"ErrorReply",
           [](OddServer& server, const Request& request) { server.reply_error(request, EPERM); }},
    Oddity{"ErrorReplyWithoutNumber",
           [](OddServer& server, const Request& request) { server.reply_error(request, 0); }},
    Oddity{"ErrorReplyWithAbsurdNumber",
           [](OddServer& server, const Request& request) { server.reply_error(request, 0xffffffff); }},
    Oddity{"OneByteOfBody",
           [](OddServer& server, const Request& request) { server.reply(request, Bytes(1)); }},
    Oddity{"WrongId",
           [](OddServer& server, const Request& request) {
               Header wrong = header(request);
               ++wrong.message_id;
               server.client().send(to_bytes(wrong));
           }},
    Oddity{"WrongCommand",
           [](OddServer& server, const Request& request) {
               Header wrong = header(request);
               wrong.command ^= 1;
               server.client().send(to_bytes(wrong));
           }},
    Oddity{"UnknownCommand",
           [](OddServer& server, const Request& request) {
               Header wrong = header(request);
               wrong.command = 0xffff;
               server.client().send(to_bytes(wrong));
           }},
    Oddity{"UnknownType",
           [](OddServer& server, const Request& request) {
               Header wrong = header(request);
               wrong.flags = 0xf;
               server.client().send(to_bytes(wrong));
           }},
    Oddity{"SizeSmallerThanTheHeader",
           [](OddServer& server, const Request& request) {
               server.client().send(to_bytes(header(request, 15)));
           }},
    Oddity{"SizeThatOverflows",
           [](OddServer& server, const Request& request) {
               server.client().send(to_bytes(header(request, 0xffffffff)));
           }},
    Oddity{"FortyDescriptors",
           [](OddServer& server, const Request& request) {
               const std::vector<int> many(40, server.client().fd());
               server.reply(request, {}, many);
           }},
    Oddity{"Garbage",
           [](OddServer& server, const Request&) { server.client().send(Bytes(64, std::byte{0xa5})); }},
    Oddity{"Closes", [](OddServer& server, const Request&) { server.close_client(); }},
    Oddity{"ClosesWithinTheHeader",
           [](OddServer& server, const Request& request) {
               server.client().send(first_of(to_bytes(header(request)), 7));
               server.close_client();
           }},
    Oddity{"ClosesWithinTheBody",
           [](OddServer& server, const Request& request) {
               server.client().send(joined({to_bytes(header(request, 100)), Bytes(20)}));
               server.close_client();
           }},
    Oddity{"NeverAnswers", [](OddServer&, const Request&) {}, true},
    Oddity{"StopsWithinTheHeader",
           [](OddServer& server, const Request& request) {
               server.client().send(first_of(to_bytes(header(request)), 7));
           },
           true},
    Oddity{"StopsWithinTheBody",
           [](OddServer& server, const Request& request) {
               server.client().send(joined({to_bytes(header(request, 100)), Bytes(20)}));
           },
           true},
    Oddity{"AnswersACommandByACommand",
           [](OddServer& server, const Request& request) {
               server.client().send(joined({to_bytes(request.header), request.body}));
           },
           true},
};

struct Step {
    const char* name;
    Command command;
    /// Makes the client send the command: an Error, an errno value, or 0.
    int (*run)(VfioUserBackend& device);
};

int errno_of(auto&& action) {
    try {
        action();
        return 0;
    } catch (const Error&) {
        return EIO;
    }
}

alignas(4096) std::array<std::byte, 4096> memory;

constexpr std::array steps{
    Step{"Version", Command::version, nullptr},
    Step{"DeviceInfo", Command::device_info, nullptr},
    Step{"RegionInfo", Command::region_info, nullptr},
    Step{"InterruptInfo", Command::interrupt_info, nullptr},
    Step{"DmaMap", Command::dma_map,
         [](VfioUserBackend& device) {
             return errno_of([&] { device.map_dma({.iova = 0x1000, .memory = memory}); });
         }},
    Step{"SetInterrupts", Command::set_interrupts,
         [](VfioUserBackend& device) {
             const Fd event(::eventfd(0, EFD_CLOEXEC));
             return errno_of([&] { device.set_interrupts(InterruptKind::intx, std::array{event.get()}); });
         }},
    Step{"RegionRead", Command::region_read,
         [](VfioUserBackend& device) {
             return device.read_region(RegionIndex::bar0, 0, std::span(memory).first(8));
         }},
    Step{"RegionWrite", Command::region_write,
         [](VfioUserBackend& device) {
             return device.write_region(RegionIndex::bar0, 0, std::span(memory).first(8));
         }},
    Step{"WriteMulti", Command::region_write_multi,
         [](VfioUserBackend& device) {
             return device.write_run(RegionIndex::bar0, 0, std::span(memory).first(8), 1);
         }},
    Step{"Unmask", Command::set_interrupts, [](VfioUserBackend& device) { return device.unmask_intx(); }},
    Step{"Reset", Command::device_reset,
         [](VfioUserBackend& device) { return errno_of([&] { device.reset(); }); }},
};

class VfioUserMalformed : public testing::TestWithParam<std::tuple<Step, Oddity>> {};

/// For every reply: who gets one that never comes waits it out, and a busy machine keeps honest ones for a
/// while.
Duration limit_for(const Oddity& oddity) {
    return oddity.never_answers ? Duration(500ms) : Duration(20s);
}

TEST_P(VfioUserMalformed, IsAnErrorInTime) {
    const auto& [step, oddity] = GetParam();
    // A reset has an empty body, and nothing depends on what else is in it.
    const bool harmless =
        step.command == Command::device_reset && std::string(oddity.name) == "OneByteOfBody";
    OddServer server;
    server.set_capabilities(R"({"capabilities": {"write_multiple": true}})");
    server.on(step.command, [&](const Request& request) { oddity.answer(server, request); });
    server.start();
    const Duration limit = limit_for(oddity);
    const TimePoint start = Clock::now();
    std::unique_ptr<VfioUserBackend> device;
    const int opened = errno_of(
        [&] { device = VfioUserBackend::open(server.path(), {.reply_limit = limit, .reset_limit = limit}); });
    if (step.run == nullptr) {
        EXPECT_NE(opened, 0);
    } else {
        ASSERT_EQ(opened, 0);
        EXPECT_EQ(step.run(*device) != 0, !harmless);
    }
    device.reset();
    EXPECT_LT(Clock::now() - start, 10s) << "hangs";
}

INSTANTIATE_TEST_SUITE_P(Every, VfioUserMalformed,
                         testing::Combine(testing::ValuesIn(steps), testing::ValuesIn(oddities)),
                         [](const auto& instance) {
                             return std::string(std::get<0>(instance.param).name) +
                                    std::get<1>(instance.param).name;
                         });

/// Unmapping takes the memory out of the server's reach whatever the server says.
class VfioUserMalformedUnmap : public testing::TestWithParam<Oddity> {};

TEST_P(VfioUserMalformedUnmap, SucceedsInTime) {
    const Oddity& oddity = GetParam();
    OddServer server;
    server.on(Command::dma_unmap, [&](const Request& request) { oddity.answer(server, request); });
    server.start();
    const auto device = VfioUserBackend::open(server.path(), {.reply_limit = limit_for(oddity)});
    device->map_dma({.iova = 0x1000, .memory = memory});
    EXPECT_NO_THROW(device->unmap_dma(0x1000, memory.size()));
    EXPECT_THROW(device->unmap_dma(0x1000, memory.size()), Error);
}

INSTANTIATE_TEST_SUITE_P(Every, VfioUserMalformedUnmap, testing::ValuesIn(oddities),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace outboard::vfio_user
