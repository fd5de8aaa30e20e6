#include "outboard/export/ublk/control.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"
#include "outboard/runtime/loop_thread.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/eventfd.h>

namespace outboard::ublk {

namespace {

using namespace std::chrono_literals;

constexpr const char* control_path = "/dev/ublk-control";
constexpr std::uint16_t no_queue = 0xffff;

// Memory is all that most commands wait for. Starting and stopping wait for the disk, whose driver has
// deadlines of its own: it resets the device and tries again within them.
constexpr Duration quick = 15s;
constexpr Duration with_io = 120s;

Fd open_control() {
    Fd file(::open(control_path, O_RDWR | O_CLOEXEC));
    if (file)
        return file;
    const int error = errno;
    if (error == ENOENT || error == ENODEV || error == ENXIO)
        throw Error(
            {.kind = ErrorKind::unsupported,
             .action = "open",
             .subject = control_path,
             .cause = "this kernel has no user-space block devices (ublk), or their module is not loaded",
             .remedy = "load it with `modprobe ublk_drv`; it comes with kernel 6.0 or newer built with "
                       "CONFIG_BLK_DEV_UBLK (Debian: 6.12 and newer). `outboard bench` works without"});
    throw_errno(error, "open", control_path, "run it as root, or give this user rights on the file");
}

ControlCommand about(std::uint32_t device_id) {
    ControlCommand command{};
    command.device_id = device_id;
    command.queue_id = no_queue;
    return command;
}

template <class T>
ControlCommand about(std::uint32_t device_id, T& buffer) {
    ControlCommand command = about(device_id);
    command.address = reinterpret_cast<std::uintptr_t>(&buffer);
    command.length = sizeof buffer;
    return command;
}

std::string subject_of(std::uint32_t device_id) {
    return device_id == any_device ? "a ublk device" : disk_path(device_id);
}

Task<void> perform_here(RunLoop& loop, int control, std::uint32_t operation, const ControlCommand& command,
                        int& result) {
    const auto fill = [&](io_uring_sqe* entry) {
        io_uring_prep_rw(IORING_OP_URING_CMD, entry, control, nullptr, 0, 0);
        entry->cmd_op = operation;
        std::memcpy(entry->cmd, &command, sizeof command);
    };
    result = co_await loop.submit(fill);
}

}  // namespace

std::string disk_path(std::uint32_t device_id) {
    return fmt::format("/dev/ublkb{}", device_id);
}

std::string server_path(std::uint32_t device_id) {
    return fmt::format("/dev/ublkc{}", device_id);
}

std::vector<std::uint32_t> device_ids() {
    constexpr std::string_view prefix = "ublkc";
    std::vector<std::uint32_t> ids;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/sys/class/ublk-char", error)) {
        const std::string name = entry.path().filename();
        std::uint32_t id = 0;
        const char* const end = name.data() + name.size();
        if (name.starts_with(prefix) && std::from_chars(name.data() + prefix.size(), end, id).ptr == end)
            ids.push_back(id);
    }
    std::ranges::sort(ids);
    return ids;
}

Control::Control(RunLoop& loop) : loop_(&loop), file_(open_control()) {}

Task<int> Control::issue(std::uint32_t operation, ControlCommand command) {
    auto& self = co_await outboard::detail::CurrentPromise();
    const Fd ended(::eventfd(0, EFD_CLOEXEC));
    if (!ended)
        throw_errno(errno, "make", "an eventfd for a ublk command");
    int result = 0;
    // The kernel hands these commands to a worker of the submitting thread, and keeps that worker for as long
    // as the thread lives: it wakes every 5 seconds and looks for more. On a thread that goes with its
    // command it goes too, and a disk that nobody uses costs nothing.
    LoopThread thread(
        [&](RunLoop& loop) { return perform_here(loop, file_.get(), operation, command, result); },
        {.name = "ublk control", .loop = {.entries = 8}, .at_end = [event = ended.get()] {
             ::eventfd_write(event, 1);
         }});
    bool cancelled = false;
    for (bool over = false; !over;) {
        try {
            std::uint64_t count = 0;
            const int waited = co_await loop_->event(ended.get(), count);
            if (waited < 0)
                throw_errno(-waited, "wait for", "a command of " + subject_of(command.device_id));
            over = true;
        } catch (const Cancelled&) {
            cancelled = true;
            thread.stop();
        }
    }
    thread.take_result();
    // It ended in spite of the cancellation, so its result counts, and the next await throws.
    if (cancelled)
        self.cancel();
    co_return result;
}

Task<void> Control::perform(std::uint32_t operation, ControlCommand command, Duration limit,
                            const char* action) {
    const std::string what = fmt::format("to {} {}", action, subject_of(command.device_id));
    Task<int> task = issue(operation, command);
    Task<int> limited = with_deadline(*loop_, std::move(task), limit, what);
    const int result = co_await std::move(limited);
    if (result < 0)
        throw_errno(-result, action, subject_of(command.device_id),
                    result == -EPERM || result == -EACCES ? "run it as root (CAP_SYS_ADMIN)" : "");
}

Task<std::uint64_t> Control::features() {
    std::uint64_t bits = 0;
    const ControlCommand command = about(any_device, bits);
    Task<int> task = issue(command::get_features, command);
    Task<int> limited = with_deadline(*loop_, std::move(task), quick, "the question for ublk features");
    const int result = co_await std::move(limited);
    co_return result < 0 ? 0 : bits;
}

Task<DeviceInfo> Control::add(DeviceInfo info) {
    const ControlCommand command = about(info.device_id, info);
    Task<void> task = perform(command::add_device, command, quick, "add");
    co_await std::move(task);
    co_return info;
}

Task<void> Control::set_parameters(std::uint32_t device_id, Parameters parameters) {
    const ControlCommand command = about(device_id, parameters);
    Task<void> task = perform(command::set_parameters, command, quick, "set the parameters of");
    co_await std::move(task);
}

Task<Parameters> Control::parameters(std::uint32_t device_id) {
    Parameters parameters{};
    parameters.length = sizeof parameters;
    const ControlCommand command = about(device_id, parameters);
    Task<void> task = perform(command::get_parameters, command, quick, "read the parameters of");
    co_await std::move(task);
    co_return parameters;
}

Task<std::optional<DeviceInfo>> Control::info(std::uint32_t device_id) {
    DeviceInfo info{};
    const ControlCommand command = about(device_id, info);
    const std::string what = fmt::format("the question for {}", disk_path(device_id));
    Task<int> task = issue(command::get_device_info, command);
    Task<int> limited = with_deadline(*loop_, std::move(task), quick, what);
    const int result = co_await std::move(limited);
    // EINVAL: a device of an unprivileged user, which takes a path as well; never one of ours.
    if (result == -ENODEV || result == -EINVAL)
        co_return std::nullopt;
    if (result < 0)
        throw_errno(-result, "ask for", disk_path(device_id), "run it as root (CAP_SYS_ADMIN)");
    co_return info;
}

Task<void> Control::start(std::uint32_t device_id, int server_pid) {
    ControlCommand command = about(device_id);
    command.data = static_cast<std::uint64_t>(server_pid);
    Task<void> task = perform(command::start_device, command, with_io, "start");
    co_await std::move(task);
}

Task<void> Control::stop(std::uint32_t device_id) {
    Task<void> task = perform(command::stop_device, about(device_id), with_io, "stop");
    co_await std::move(task);
}

Task<void> Control::remove(std::uint32_t device_id) {
    // Without waiting for users, who may keep the disk open for days; kernels before 6.6 know only how to
    // wait.
    Task<int> attempt = issue(command::delete_device_async, about(device_id));
    Task<int> limited = with_deadline(*loop_, std::move(attempt), with_io, "the removal of a ublk device");
    if (const int result = co_await std::move(limited); result >= 0)
        co_return;
    Task<void> task = perform(command::delete_device, about(device_id), with_io, "remove");
    co_await std::move(task);
}

Task<void> Control::start_recovery(std::uint32_t device_id) {
    // EBUSY until the kernel has taken the old server apart: it closes its files one by one, unpins DMA
    // memory, and then gives up what was in flight.
    const TimePoint deadline = Clock::now() + 30s;
    for (;;) {
        Task<int> task = issue(command::start_user_recovery, about(device_id));
        Task<int> limited = with_deadline(*loop_, std::move(task), quick, "the start of a recovery");
        const int result = co_await std::move(limited);
        // EINVAL: another process had begun to take it over and died; the device is ready for a server.
        if (result >= 0 || result == -EINVAL)
            co_return;
        if (result != -EBUSY || Clock::now() >= deadline)
            throw_errno(
                -result, "take over", disk_path(device_id),
                result == -EBUSY ? "end every process that has " + server_path(device_id) + " open" : "");
        co_await loop_->sleep_for(2ms);
    }
}

Task<void> Control::end_recovery(std::uint32_t device_id, int server_pid) {
    ControlCommand command = about(device_id);
    command.data = static_cast<std::uint64_t>(server_pid);
    Task<void> task = perform(command::end_user_recovery, command, with_io, "go on with");
    co_await std::move(task);
}

}  // namespace outboard::ublk
