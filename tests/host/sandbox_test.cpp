// The sandbox of host processes: what a hostile driver tries in it, and what an honest one can do. Runs here
// and in the guests of the lab, on older and newer kernels.
#include "outboard/host/module_file.hpp"
#include "outboard/runtime/loop_thread.hpp"
#include "outboard/runtime/ring_stock.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/host/sandboxed.hpp"
#include "tests/support/fake_backend.hpp"
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using test::in_child;
using test::Say;
using test::Start;
using test::Testimony;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::string hostile_module() {
    const char* const file = std::getenv("OUTBOARD_HOSTILE");
    return file != nullptr ? file : HOSTILE_MODULE;
}

std::vector<Start> starts() {
    if (::getuid() == 0)
        return {Start::root, Start::ordinary_user};
    return {Start::ordinary_user};
}

class Sandbox : public testing::TestWithParam<Start> {
  protected:
    /// Runs `body` in a child that has entered.
    static Testimony inside(
        const std::function<void(const Say&)>& body,
        const std::function<void(SandboxRules&)>& adapt = [](SandboxRules&) {}) {
        return in_child([&](const Say& say) {
            SandboxRules rules = test::rules_for(GetParam());
            adapt(rules);
            if (GetParam() == Start::ordinary_user)
                test::become_ordinary();
            enter_sandbox(rules);
            body(say);
        });
    }
};

/// Loads the hostile driver in the sandbox and lets it do its worst.
void let_it_try(const Say& say, Start start) {
    const ModuleFile module = open_module(hostile_module());
    if (start == Start::ordinary_user)
        test::become_ordinary();
    RingStock stock(1);
    RunLoop loop({.stock = &stock});
    Device device(std::make_unique<test::FakeBackend>());
    SandboxRules rules = test::rules_for(start);
    rules.driver_file = module.fd.get();
    rules.driver_path = module.path;
    const DriverDescription* driver = nullptr;
    enter_sandbox(rules, [&] { driver = &load_module(module.path, *module.description.driver); });
    DriverOptions options;
    options.report = [&](std::string_view line) { say(std::string(line)); };
    const std::unique_ptr<Driver> started = loop.run(driver->start(device, loop, std::move(options)));
    say("still at work");
}

TEST_P(Sandbox, EveryAttemptOfAHostileDriverFails) {
    const Testimony testimony = in_child([](const Say& say) { let_it_try(say, GetParam()); });
    for (const std::string& line : testimony.lines)
        std::printf("    %s\n", line.c_str());
    EXPECT_EQ(testimony.status, 0);
    EXPECT_THAT(testimony.lines, Contains("still at work"));
    EXPECT_GE(testimony.lines.size(), 110U);
    EXPECT_THAT(testimony.lines, Not(Contains(HasSubstr("SUCCEEDED"))));
    for (const char* const line :
         {"constructor: open a file\tEPERM", "fork\tEPERM", "execute a program\tEPERM", "make a ring\tEPERM",
          "ring: open a file\tEACCES", "ring: make a socket\tEACCES", "fork by clone3\tENOSYS"})
        EXPECT_THAT(testimony.lines, Contains(line));
    EXPECT_THAT(testimony.lines, Contains(StartsWith("take memory without end\tENOMEM after 6")));
    EXPECT_THAT(testimony.lines, Contains(StartsWith("take descriptors without end\tEMFILE after")));
    EXPECT_THAT(testimony.lines, Contains(StartsWith("take threads without end\tEAGAIN after 7")));
}

/// False in a chroot: the kernel exchanges the root of a process only where that is the root of a mount.
bool root_is_a_mount() {
    struct statx root{};
    return ::statx(AT_FDCWD, "/", 0, 0, &root) == 0 && (root.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

TEST_P(Sandbox, IsNobodyAndHasNothing) {
    const Testimony testimony = in_child([](const Say& say) {
        if (GetParam() == Start::ordinary_user)
            test::become_ordinary();
        const Fd status(::open("/proc/self/status", O_RDONLY));
        const SandboxReport report = enter_sandbox(test::rules_for(GetParam()));
        std::string text(8192, '\0');
        text.resize(
            static_cast<std::size_t>(std::max<ssize_t>(::read(status.get(), text.data(), text.size()), 0)));
        say(text);
        say("landlock " + std::to_string(report.landlock));
        say(report.no_network ? "no network" : "network");
        say(report.no_files ? "no files" : "files");
    });
    const std::string user = std::to_string(::getuid() == 0 ? test::nobody_else.user : ::getuid());
    EXPECT_THAT(testimony.lines, Contains("Uid:\t" + user + "\t" + user + "\t" + user + "\t" + user));
    for (const char* const set : {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"})
        EXPECT_THAT(testimony.lines, Contains(set + std::string("\t0000000000000000")));
    EXPECT_THAT(testimony.lines, Contains("NoNewPrivs:\t1"));
    EXPECT_THAT(testimony.lines, Contains("Seccomp:\t2"));
    if (GetParam() == Start::root) {
        EXPECT_THAT(testimony.lines, Contains("CapBnd:\t0000000000000000"));
        EXPECT_THAT(testimony.lines, Contains("Groups:\t "));
        EXPECT_THAT(testimony.lines, Contains("no network"));
        EXPECT_THAT(testimony.lines, Contains(root_is_a_mount() ? "no files" : "files"));
    }
    std::printf("    %s\n", testimony.lines[testimony.lines.size() - 3].c_str());
}

Task<void> use_loop(RunLoop& loop, const Say& say, const char* where) {
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    ::eventfd_write(event.get(), 1);
    std::uint64_t count = 0;
    const int read = co_await loop.event(event.get(), count);
    co_await loop.sleep_for(1ms);
    say(std::string(where) + " read " + std::to_string(read));
}

TEST_P(Sandbox, HonestWorkGoesOn) {
    const Testimony testimony = in_child([](const Say& say) {
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
            throw_errno(errno, "make", "sockets");
        SandboxRules rules = test::rules_for(GetParam());
        rules.sockets = {pair[0]};
        if (GetParam() == Start::ordinary_user)
            test::become_ordinary();
        RingStock rings(2);
        enter_sandbox(rules);
        RunLoop loop({.stock = &rings});
        loop.run(use_loop(loop, say, "main"));
        {
            const Fd ended(::eventfd(0, EFD_CLOEXEC));
            LoopThread thread([&](RunLoop& other) { return use_loop(other, say, "thread"); },
                              {.name = "other", .loop = {.stock = &rings}, .at_end = [&] {
                                   ::eventfd_write(ended.get(), 1);
                               }});
            std::uint64_t count = 0;
            ::eventfd_read(ended.get(), &count);
            thread.take_result();
        }
        say("sent " + std::to_string(::send(pair[0], "hello", 5, 0)));
        say(::send(pair[1], "hello", 5, 0) < 0 && errno == EPERM ? "not by the other" : "by the other too");
        struct stat status{};
        say(::fstat(pair[0], &status) == 0 ? "fstat" : "no fstat");
        const std::vector<char> memory(std::size_t{16} << 20, 'x');
        say(std::to_string(memory[12345]) + " processors " +
            std::to_string(std::thread::hardware_concurrency() > 0));
        try {
            loop.event_fd();
        } catch (const Error& error) {
            say("caught");
        }
    });
    EXPECT_THAT(testimony.lines,
                testing::ElementsAre("main read 8", "thread read 8", "sent 5", "not by the other", "fstat",
                                     "120 processors 1", "caught"));
    EXPECT_EQ(testimony.status, 0);
}

TEST_P(Sandbox, AbortsAsEverybody) {
    const Testimony testimony = inside([](const Say&) { std::abort(); });
    EXPECT_TRUE(WIFSIGNALED(testimony.status) && WTERMSIG(testimony.status) == SIGABRT);
}

TEST_P(Sandbox, EndsTheProcessWhereThatIsAsked) {
    const auto kill = [](SandboxRules& rules) { rules.refused_call = RefusedCall::kills; };
    for (const long number : {SYS_socket, SYS_openat, SYS_execve}) {
        const Testimony testimony = inside(
            [&](const Say& say) {
                ::syscall(number, AF_UNIX, "/etc/passwd", 0);
                say("alive");
            },
            kill);
        EXPECT_THAT(testimony.lines, IsEmpty());
        EXPECT_TRUE(WIFSIGNALED(testimony.status) && WTERMSIG(testimony.status) == SIGSYS) << number;
    }
}

#ifdef __x86_64__
TEST_P(Sandbox, HasNoOtherSystemCallInterface) {
    for (const bool old : {true, false}) {
        const Testimony testimony = inside([&](const Say& say) {
            long result = 0;
            if (old)
                asm volatile("int $0x80"
                             : "=a"(result)
                             : "a"(20L)
                             : "memory", "r8", "r9", "r10", "r11");  // getpid
            else
                result = ::syscall(0x40000000 + SYS_getpid);
            say("alive");
        });
        EXPECT_THAT(testimony.lines, IsEmpty());
        EXPECT_TRUE(WIFSIGNALED(testimony.status) && WTERMSIG(testimony.status) == SIGSYS) << old;
    }
}
#endif

INSTANTIATE_TEST_SUITE_P(As, Sandbox, testing::ValuesIn(starts()), [](const auto& parameter) {
    return parameter.param == Start::root ? "root" : "ordinary_user";
});

TEST(SandboxRules, RootNeedsAnotherUser) {
    if (::getuid() != 0)
        GTEST_SKIP() << "needs root";
    const Testimony testimony = in_child([](const Say&) { enter_sandbox({}); });
    EXPECT_THAT(testimony.lines, Contains(HasSubstr("it would be root there")));
}

TEST(SandboxRules, OneThreadOnly) {
    const Testimony testimony = in_child([](const Say&) {
        const std::jthread other([](const std::stop_token& stop) {
            while (!stop.stop_requested())
                std::this_thread::yield();
        });
        enter_sandbox(test::rules_for(Start::root));
    });
    EXPECT_THAT(testimony.lines, Contains(HasSubstr("it has several threads")));
}

TEST(SandboxRules, ADriverThatIsNotThere) {
    const Testimony testimony = in_child([](const Say&) {
        test::become_ordinary();
        SandboxRules rules = test::rules_for(Start::ordinary_user);
        enter_sandbox(rules, [&] { load_module("/nowhere/liboutboard-driver-x.so", "x"); });
    });
    EXPECT_THAT(testimony.lines,
                Contains(HasSubstr("it cannot be loaded: /nowhere/liboutboard-driver-x.so")));
    EXPECT_EQ(WEXITSTATUS(testimony.status), 1);
}

}  // namespace
}  // namespace outboard
