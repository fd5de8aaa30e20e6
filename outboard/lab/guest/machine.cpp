#include "outboard/lab/guest/machine.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard::lab::guest {

namespace {

namespace fs = std::filesystem;

struct Mount {
    const char* type;
    const char* target;
    const char* options;
    bool needed;
};

// NOLINTBEGIN(modernize-use-designated-initializers): a table
constexpr std::array<Mount, 8> mounts{{
    {"proc", "/proc", "", true},
    {"sysfs", "/sys", "", true},
    {"devtmpfs", "/dev", "", true},
    {"devpts", "/dev/pts", "ptmxmode=0666", true},
    {"tmpfs", "/dev/shm", "mode=1777", true},
    {"tmpfs", "/run", "mode=0755", true},
    {"debugfs", "/sys/kernel/debug", "", false},
    {"hugetlbfs", "/dev/hugepages", "", false},
}};
// NOLINTEND(modernize-use-designated-initializers)

// The buses whose devices have drivers in modules of the lab.
constexpr std::array<const char*, 6> buses{"pci", "virtio", "scsi", "usb", "hid", "serio"};

}  // namespace

void mount_file_systems() {
    for (const Mount& mount : mounts) {
        ::mkdir(mount.target, 0755);
        if (::mount(mount.type, mount.target, mount.type, 0, mount.options) != 0 && mount.needed)
            throw_errno(errno, "mount", mount.target);
    }
    for (const auto& [link, target] : {std::pair{"/dev/fd", "/proc/self/fd"},
                                       {"/dev/stdin", "/proc/self/fd/0"},
                                       {"/dev/stdout", "/proc/self/fd/1"},
                                       {"/dev/stderr", "/proc/self/fd/2"}})
        if (::symlink(target, link) != 0 && errno != EEXIST)
            throw_errno(errno, "create", link);
}

void set_up_network_names() {
    if (::sethostname("lab", 3) != 0)
        throw_errno(errno, "set", "the host name");
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (!socket || ::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0)
        throw_errno(errno, "bring up", "the loopback interface");
}

void load_modules(const std::vector<std::string>& names) {
    if (names.empty())
        return;
    std::vector<std::string> words{"/sbin/modprobe", "-qab"};
    words.insert(words.end(), names.begin(), names.end());
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid < 0)
        throw_errno(errno, "start", words.front());
    if (pid == 0) {
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
}

DriverLoader::DriverLoader()
    : events_(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT)) {
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = 1;
    // Bursts of announcements come while modules load; a lost one is made up for by new_aliases().
    const int size = 1 << 20;
    ::setsockopt(events_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (!events_ || ::bind(events_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw_errno(errno, "listen to", "the kernel's device announcements");
}

std::vector<std::string> DriverLoader::read_announcements() {
    std::vector<std::string> aliases;
    std::array<char, 8192> message{};
    for (;;) {
        const ssize_t size = ::recv(events_.get(), message.data(), message.size(), 0);
        if (size < 0 && (errno == EINTR || errno == ENOBUFS))
            continue;
        if (size <= 0)
            return aliases;
        // "ACTION@PATH" and then NAME=value, each ended by a zero.
        std::string_view rest(message.data(), static_cast<std::size_t>(size));
        bool added = false;
        while (!rest.empty()) {
            const std::string_view word = rest.substr(0, rest.find('\0'));
            rest.remove_prefix(std::min(rest.size(), word.size() + 1));
            constexpr std::string_view alias = "MODALIAS=";
            added = added || word == "ACTION=add";
            if (added && word.starts_with(alias))
                aliases.emplace_back(word.substr(alias.size()));
        }
    }
}

std::vector<std::string> DriverLoader::new_aliases() {
    std::vector<std::string> aliases;
    for (const char* bus : buses) {
        std::error_code none;
        for (const auto& device : fs::directory_iterator(fs::path("/sys/bus") / bus / "devices", none)) {
            // The chipset's own (0000:00:1f.*): its AHCI controller without disks takes half a second to find
            // none.
            if (fs::exists(device.path() / "driver") ||
                device.path().filename().string().starts_with("0000:00:1f."))
                continue;
            const auto alias = try_read_text(device.path() / "modalias");
            if (alias && !alias->empty() && known_.insert(*alias).second)
                aliases.push_back(*alias);
        }
    }
    return aliases;
}

void DriverLoader::load_all(std::vector<std::string> names) {
    // Disks behind a controller appear a moment after its driver; quiet for this long means that none is
    // coming.
    constexpr int quiet_ms = 40;
    pollfd announced{.fd = events_.get(), .events = POLLIN, .revents = 0};
    for (;;) {
        const std::vector<std::string> aliases = new_aliases();
        names.insert(names.end(), aliases.begin(), aliases.end());
        load_modules(names);
        const bool loaded = !names.empty();
        names.clear();
        if (!loaded && ::poll(&announced, 1, quiet_ms) == 0)
            return;
        for (const std::string& alias : read_announcements())
            if (known_.insert(alias).second)
                names.push_back(alias);
    }
}

void DriverLoader::handle() {
    std::vector<std::string> names;
    for (const std::string& alias : read_announcements())
        if (known_.insert(alias).second)
            names.push_back(alias);
    load_modules(names);
}

std::string find_port(const std::string& name) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    do {
        std::error_code none;
        for (const auto& port : fs::directory_iterator("/sys/class/virtio-ports", none))
            if (try_read_text(port.path() / "name") == name)
                return "/dev/" + port.path().filename().string();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    } while (std::chrono::steady_clock::now() < deadline);
    throw Error({.kind = ErrorKind::not_found,
                 .action = "find",
                 .subject = "the port " + name,
                 .cause = "the machine has none of that name",
                 .remedy = "see the console for what the kernel says about virtio"});
}

}  // namespace outboard::lab::guest
