#include "outboard/host/process/hosted_device.hpp"

#include "outboard/backend/vfio/granted_space.hpp"
#include "outboard/backend/vfio/vfio_backend.hpp"
#include "outboard/backend/vfio_user/vfio_user_backend.hpp"
#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"
#include "outboard/export/ublk/disk_server.hpp"
#include "outboard/export/ublk/ublk_export.hpp"
#include "outboard/host/driver_table.hpp"
#include "outboard/host/forward_progress.hpp"
#include "outboard/host/protocol/inbox.hpp"
#include "outboard/host/protocol/messages.hpp"
#include "outboard/host/sandbox.hpp"
#include "outboard/runtime/ring_stock.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <unistd.h>

namespace outboard {

namespace {

using namespace hosting;

/// Throws Error unless exactly so many descriptors came along.
void require_descriptors(const Packet& packet, std::size_t count) {
    if (packet.descriptors.size() != count)
        throw Error({.kind = ErrorKind::failed,
                     .action = "understand",
                     .subject = "a message of the supervisor",
                     .cause = fmt::format("it brought {} descriptors instead of {}",
                                          packet.descriptors.size(), count),
                     .remedy = {}});
}

Fd only_descriptor(Packet& packet) {
    require_descriptors(packet, 1);
    return std::move(packet.descriptors.front());
}

[[noreturn]] void throw_out_of_turn() {
    throw Error({.kind = ErrorKind::failed,
                 .action = "follow",
                 .subject = "the supervisor",
                 .cause = "its message came out of turn",
                 .remedy = {}});
}

class HostedDevice {
  public:
    HostedDevice(RunLoop& loop, PacketSocket socket)
        : loop_(&loop),
          inbox_(loop, std::move(socket), [this](const Packet& packet) { return answer_ping(packet); }) {}

    Task<void> run();

  private:
    bool answer_ping(const Packet& packet);
    Task<void> answer(std::uint64_t number);
    void send(const FromHost& message) { inbox_.socket().send(encode(message)); }
    void report(std::string_view line) noexcept;

    Task<void> live();
    template <class Message>
    Task<std::pair<Message, Packet>> next();
    void enter(const Enter& order, const Packet& packet);
    Fd place_of_device(Fd descriptor);
    void open_device(Fd descriptor);
    const DriverDescription& choose_driver() const;
    DriverOptions driver_options(const DriverDescription& description);
    std::uint64_t bytes_needed(const DriverDescription& description, const DriverOptions& options) const;
    Task<void> start_driver(const DriverDescription& description, DriverOptions options);
    BlockDevice& disk(unsigned number);
    Task<void> serve();
    Task<void> serve_disk(Serve order, Fd file);
    void require_intact();
    Task<void> cease();
    Task<void> finish();

    RunLoop* loop_;
    Take take_;
    std::optional<RingStock> rings_;             ///< for the threads of the disks' queues
    Fd device_socket_;                           ///< whose number the socket of the device is to have
    const DriverDescription* module_ = nullptr;  ///< of the module, where the driver is one
    vfio::GrantedSpace* space_ = nullptr;        ///< of a VFIO device
    std::unique_ptr<Device> device_;
    std::unique_ptr<Driver> driver_;
    std::map<unsigned, std::unique_ptr<ublk::DiskServer>> servers_;
    Task<void> answering_;
    Inbox inbox_;
};

bool HostedDevice::answer_ping(const Packet& packet) {
    const ToHost message = decode_to_host(packet.text);
    const auto* const ping = std::get_if<Ping>(&message);
    if (!ping)
        return false;
    // While the last one is not answered this one is not either: a loop does not turn.
    if (!answering_ || answering_.done()) {
        answering_ = answer(ping->number);
        answering_.start();
    }
    return true;
}

Task<void> HostedDevice::answer(std::uint64_t number) {
    for (const auto& [disk, server] : servers_) {
        Task<void> turning = server->turn();
        co_await std::move(turning);
    }
    send(Pong{.number = number});
}

void HostedDevice::report(std::string_view line) noexcept {
    try {
        send(Report{.line = std::string(line)});
    } catch (const std::exception&) {
        // Nobody listens any more; what there is to say can wait.
        return;
    }
}

Task<void> HostedDevice::run() {
    std::exception_ptr failure;
    try {
        Task<void> life = live();
        co_await std::move(life);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure)
        co_return;
    try {
        // A queue that fails cancels what the main loop runs: that is not what people are to read.
        require_intact();
        std::rethrow_exception(failure);
    } catch (const Error& error) {
        send(describe(error));
        throw;
    }
}

Task<void> HostedDevice::live() {
    send(Hello{});
    Task<std::pair<Enter, Packet>> admitting = next<Enter>();
    const auto [order, admitted] = co_await std::move(admitting);
    enter(order, admitted);
    Task<std::pair<Take, Packet>> taking = next<Take>();
    auto [take, taken] = co_await std::move(taking);
    take_ = std::move(take);
    open_device(only_descriptor(taken));
    const DriverDescription& description = choose_driver();
    DriverOptions options = driver_options(description);
    const std::uint64_t needed = bytes_needed(description, options);
    send(Needs{.driver = std::string(description.name),
               .bytes = needed,
               .address_bits = description.dma_address_bits});

    Task<std::pair<Arena, Packet>> granting = next<Arena>();
    auto [arena, granted] = co_await std::move(granting);
    Fd memory = only_descriptor(granted);
    if (arena.bytes == 0)
        throw_out_of_turn();
    if (space_)
        space_->grant({.first = arena.iova, .last = arena.iova + (arena.bytes - 1)});
    device_->adopt_arena({.file = std::move(memory), .length = arena.bytes, .iova = arena.iova});

    Task<void> starting = start_driver(description, std::move(options));
    co_await std::move(starting);
    Task<void> serving = serve();
    co_await std::move(serving);
}

/// The next message, which is one of this sort, with the packet that brought it.
template <class Message>
Task<std::pair<Message, Packet>> HostedDevice::next() {
    Task<Packet> coming = inbox_.next();
    Packet packet = co_await std::move(coming);
    ToHost message = decode_to_host(packet.text);
    auto* const wanted = std::get_if<Message>(&message);
    if (!wanted)
        throw_out_of_turn();
    co_return std::pair<Message, Packet>(std::move(*wanted), std::move(packet));
}

/// From here on this process has no rights, and the driver's code may come.
void HostedDevice::enter(const Enter& order, const Packet& packet) {
    constexpr std::uint64_t memory_of_thread = std::uint64_t{16} << 20;  // its stack, and a heap
    require_descriptors(packet, order.module.empty() ? 0 : 1);
    // The kernel makes a queue for each processor at most.
    const unsigned queues = std::min<unsigned>(order.queues, static_cast<unsigned>(::get_nprocs_conf()));
    const unsigned threads = queues * std::max(1U, order.disks);
    // A disk whose service ended may be served once more.
    rings_.emplace(2 * threads, RingStockOptions{.provided_buffers = true});
    SandboxRules rules;
    if (order.user != 0)
        rules.user = SandboxUser{.user = order.user, .group = order.group};
    rules.limits.memory += threads * memory_of_thread;
    rules.limits.mappings = std::uint64_t{16} << 30;  // how large arena and registers are turns out later
    rules.limits.descriptors += 8 * threads;
    rules.sockets = {inbox_.socket().fd()};
    if (order.device_socket) {
        device_socket_.reset(::fcntl(inbox_.socket().fd(), F_DUPFD_CLOEXEC, 0));
        if (!device_socket_)
            throw_errno(errno, "reserve", "a descriptor for the socket of the device");
        rules.sockets.push_back(device_socket_.get());
        rules.replaceable_socket = device_socket_.get();
    }
    if (!order.module.empty()) {
        rules.driver_file = packet.descriptors.front().get();
        rules.driver_path = order.module;
    }
    const SandboxReport report = enter_sandbox(rules, [&] {
        if (!order.module.empty())
            module_ = &load_module(order.module, order.driver);
    });
    for (const std::string& absent : report.absent)
        this->report("its sandbox is without " + absent);
}

/// The socket of a device, with the number that the sandbox allows.
Fd HostedDevice::place_of_device(Fd descriptor) {
    if (!device_socket_)
        throw_out_of_turn();
    if (::dup3(descriptor.get(), device_socket_.get(), O_CLOEXEC) < 0)
        throw_errno(errno, "use", "the socket of " + take_.device);
    return std::move(device_socket_);
}

void HostedDevice::open_device(Fd descriptor) {
    std::unique_ptr<Backend> backend;
    if (take_.device.starts_with(DeviceName::vfio_user_prefix)) {
        backend = vfio_user::VfioUserBackend::open_on(place_of_device(std::move(descriptor)), take_.device);
    } else {
        auto space = std::make_unique<vfio::GrantedSpace>(take_.device);
        space_ = space.get();
        backend = std::make_unique<vfio::VfioBackend>(std::move(space), std::move(descriptor), take_.device);
    }
    device_ = std::make_unique<Device>(std::move(backend));
}

const DriverDescription& HostedDevice::choose_driver() const {
    if (module_)
        return *module_;
    return load_driver(require_driver(take_.device, device_->config().identity(), take_.driver));
}

DriverOptions HostedDevice::driver_options(const DriverDescription& description) {
    DriverOptions options;
    if (take_.timeout_seconds != 0)
        options.command_timeout = std::chrono::seconds(take_.timeout_seconds);
    options.write_cache = take_.write_cache;
    options.dma = take_.dma;
    options.completion = take_.completion;
    const auto disks = static_cast<unsigned>(std::max<std::size_t>(1, take_.disks.size()));
    options.queues = (description.makes_queues() ? take_.queues : 1U) * disks;
    options.report = [this](std::string_view line) { report(line); };
    return options;
}

std::uint64_t HostedDevice::bytes_needed(const DriverDescription& description,
                                         const DriverOptions& options) const {
    const std::uint16_t queues = description.makes_queues() ? take_.queues : std::uint16_t{1};
    return description.dma_bytes_for(options) +
           take_.disks.size() * ublk::export_arena_bytes(queues, take_.queue_depth);
}

Task<void> HostedDevice::start_driver(const DriverDescription& description, DriverOptions options) {
    const TimePoint begin = Clock::now();
    Task<std::unique_ptr<Driver>> starting = description.start(*device_, *loop_, std::move(options));
    driver_ = co_await std::move(starting);
    Disks message;
    message.start_us = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count());
    for (const unsigned number : take_.disks)
        message.disks.push_back({.number = number, .info = disk(number).info()});
    send(message);
}

BlockDevice& HostedDevice::disk(unsigned number) {
    const std::vector<BlockDevice*> disks = driver_->block_devices();
    if (number < disks.size())
        return *disks[number];
    throw Error({.kind = ErrorKind::not_found,
                 .action = fmt::format("use disk {} of", number),
                 .subject = take_.device,
                 .cause = fmt::format("it has {} disks", disks.size()),
                 .remedy = "choose others in its configuration"});
}

Task<void> HostedDevice::serve() {
    for (;;) {
        Task<Packet> coming = inbox_.next();
        Packet packet = co_await std::move(coming);
        ToHost message = decode_to_host(packet.text);
        if (std::holds_alternative<Finish>(message))
            break;
        if (std::holds_alternative<Cease>(message)) {
            Task<void> ceasing = cease();
            co_await std::move(ceasing);
            continue;
        }
        const auto* const order = std::get_if<Serve>(&message);
        if (!order)
            throw_out_of_turn();
        Task<void> serving = serve_disk(*order, only_descriptor(packet));
        co_await std::move(serving);
    }
    Task<void> end = finish();
    co_await std::move(end);
}

Task<void> HostedDevice::serve_disk(Serve order, Fd file) {
    ublk::DeviceInfo info{};
    info.device_id = order.device_id;
    info.queues = order.queues;
    info.queue_depth = order.queue_depth;
    info.max_io_bytes = order.max_io_bytes;
    info.flags = order.flags;
    auto& server = servers_[order.disk];
    server = std::make_unique<ublk::DiskServer>(*loop_, disk(order.disk),
                                                ublk::DiskServerSetup{.file = std::move(file),
                                                                      .info = info,
                                                                      .stable_writes = order.stable_writes,
                                                                      .prepare_thread = secure_thread,
                                                                      .rings = &*rings_});
    Task<void> starting = server->start();
    co_await std::move(starting);
    send(Serving{.disk = order.disk});
}

void HostedDevice::require_intact() {
    for (const auto& [number, server] : servers_)
        server->require_intact();
}

Task<void> HostedDevice::cease() {
    for (const auto& [number, server] : servers_) {
        server->expect_end();
        Task<void> settling = server->settle();
        co_await std::move(settling);
    }
    send(Ceasing{});
}

Task<void> HostedDevice::finish() {
    for (const auto& [number, server] : servers_) {
        Task<void> end = server->end();
        co_await std::move(end);
    }
    answering_ = {};
    servers_.clear();
    Task<void> rest = driver_->shut_down();
    co_await std::move(rest);
    driver_.reset();
    device_.reset();
    send(Finished{});
}

}  // namespace

Task<void> host_device(RunLoop& loop, PacketSocket socket) {
    HostedDevice hosted(loop, std::move(socket));
    Task<void> running = hosted.run();
    co_await std::move(running);
}

}  // namespace outboard
