// What tests inside a lab's guest share. They run as root on a machine that is theirs.
#pragma once

#include "outboard/backend/pci/binding.hpp"
#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/device/device.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard::test {

// Where `outboard lab` puts the devices (outboard lab --help).
inline constexpr const char* ide_name = "0000:00:04.0";
inline constexpr const char* edu_name = "0000:00:06.0";
inline constexpr const char* nvme_name = "0000:01:00.0";
inline constexpr const char* e1000e_name = "0000:02:00.0";

/// A device that vfio-pci has as long as this object lives, and its old driver afterwards.
class Borrowed {
  public:
    explicit Borrowed(const char* name) : address_(PciAddress::parse(name)) { Binder().bind(address_); }
    ~Borrowed() {
        try {
            Binder().restore(address_);
        } catch (const Error& error) {
            ADD_FAILURE() << error.what();
        }
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    Borrowed(Borrowed&&) = delete;
    Borrowed& operator=(Borrowed&&) = delete;

    std::unique_ptr<Device> open() const { return Device::open(address_.text()); }

  private:
    PciAddress address_;
};

/// Runs a line of shell, which must succeed.
inline void shell(const std::string& line) {
    ASSERT_EQ(std::system(line.c_str()), 0) << line;
}

/// Waits until `condition` holds; false when it does not within the time.
template <class Condition>
bool holds_within(std::chrono::milliseconds limit, Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline)
            return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

/// The next events of an interrupt: how many, or 0 when none come within the time.
inline std::uint64_t events_within(std::chrono::milliseconds limit, const Interrupt& interrupt) {
    pollfd readable{.fd = interrupt.eventfd(), .events = POLLIN, .revents = 0};
    std::uint64_t count = 0;
    if (::poll(&readable, 1, static_cast<int>(limit.count())) == 1 &&
        ::read(interrupt.eventfd(), &count, sizeof count) != sizeof count)
        ADD_FAILURE() << "an eventfd could not be read";
    return count;
}

/// Does `action` as an unprivileged user in a process of its own. What it throws as Error comes back as text;
/// empty when it throws none.
template <class Action>
std::string as_user(Action action) {
    constexpr unsigned user = 1000;
    int ends[2] = {-1, -1};
    if (::pipe(ends) != 0)
        return "no pipe";
    const Fd read_end(ends[0]);
    Fd write_end(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
        std::string text;
        try {
            if (::setgid(user) != 0 || ::setuid(user) != 0)
                throw_errno(errno, "become", "another user");
            action();
        } catch (const Error& error) {
            text = error.what();
        }
        const bool written =
            ::write(write_end.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
        ::_exit(written ? 0 : 1);
    }
    write_end.reset();
    std::string text;
    char chunk[512];
    for (ssize_t count = 0; (count = ::read(read_end.get(), chunk, sizeof chunk)) > 0;)
        text.append(chunk, static_cast<std::size_t>(count));
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << "the process of the other user failed";
    return text;
}

}  // namespace outboard::test
