#include "outboard/supervisor/service_manager.hpp"

#include "outboard/base/error.hpp"

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

constexpr Duration patience = 10s;

unsigned number_in_environment(const char* name) {
    const char* const text = std::getenv(name);
    unsigned number = 0;
    if (text != nullptr)
        std::from_chars(text, text + std::string_view(text).size(), number);
    return number;
}

}  // namespace

ServiceManager::ServiceManager() {
    char** names = nullptr;
    // Hosts and a keeper of descriptors are not who these were meant for.
    const int count = ::sd_listen_fds_with_names(1, &names);
    if (count < 0)
        throw_errno(-count, "take over", "the descriptors of the service manager");
    for (int i = 0; i < count; ++i) {
        kept_.push_back({.name = names[i], .descriptor = Fd(SD_LISTEN_FDS_START + i)});
        std::free(names[i]);
    }
    std::free(names);
    std::uint64_t microseconds = 0;
    if (::sd_watchdog_enabled(0, &microseconds) > 0)
        watchdog_ = std::chrono::microseconds(microseconds);
    if (std::getenv("NOTIFY_SOCKET") != nullptr)
        store_ = number_in_environment("FDSTORE");
}

void ServiceManager::say(const std::string& words) const noexcept {
    // A manager that does not hear it acts on its own deadlines.
    static_cast<void>(::sd_notify(0, words.c_str()));
}

void ServiceManager::keep(const std::string& name, int descriptor) const {
    const std::string words = fmt::format("FDSTORE=1\nFDPOLL=0\nFDNAME={}", name);
    const int result = ::sd_pid_notify_with_fds(0, 0, words.c_str(), &descriptor, 1);
    if (result <= 0)
        throw_errno(result < 0 ? -result : ENOTCONN, "give a descriptor to", "the service manager");
}

void ServiceManager::forget(const std::string& name) const {
    say("FDSTOREREMOVE=1\nFDNAME=" + name);
}

void ServiceManager::settle() const {
    const auto limit = std::chrono::duration_cast<std::chrono::microseconds>(patience).count();
    const int result = ::sd_notify_barrier(0, static_cast<std::uint64_t>(limit));
    if (result < 0)
        throw_errno(-result, "hear from", "the service manager",
                    "NotifyAccess=main has to be in the unit of outboardd");
}

}  // namespace outboard
