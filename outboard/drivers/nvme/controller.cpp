#include "outboard/drivers/nvme/controller.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include <fmt/format.h>

namespace outboard::nvme {

namespace {

using namespace std::chrono_literals;

/// Of a shutdown for which the controller states no time.
constexpr Duration default_shutdown_limit = 10s;
constexpr std::size_t most_namespaces = 256;

[[noreturn]] void refuse(const std::string& name, std::string cause) {
    throw outboard::Error({.kind = ErrorKind::unsupported,
                           .action = "drive",
                           .subject = name,
                           .cause = std::move(cause),
                           .remedy = {}});
}

}  // namespace

Controller::Controller(Device& device, RunLoop& loop, DriverOptions options)
    : device_(device),
      loop_(loop),
      options_(std::move(options)),
      name_(device.name()),
      region_(device.region(RegionIndex::bar0)),
      registers_(region_.block<register_bytes>()),
      stride_(registers_.read<Capabilities>()[Capabilities::doorbell_stride]),
      attention_(options_.report),
      admin_(loop, device.arena(), doorbell(tail_doorbell(0, stride_)), doorbell(head_doorbell(0, stride_)),
             name_),
      page_(device.arena().allocate(identify_bytes, page_bytes)) {
    const auto capabilities = registers_.read<Capabilities>();
    if (all_ones(registers_.read<ControllerStatus>()))
        refuse(name_, "its registers read as all ones: it was removed, or has no power");
    if (!capabilities[Capabilities::nvm_command_set])
        refuse(name_, "it has not the NVM command set");
    if (capabilities[Capabilities::min_page_size] != 0)
        refuse(name_, "its memory pages have more than 4096 bytes");
    limits_.ready = options_.reset_timeout.value_or(
        std::chrono::ceil<std::chrono::milliseconds>(ready_limit(registers_)));
    if (options_.command_timeout)
        limits_.command = *options_.command_timeout;
}

Controller::~Controller() {
    if (at_rest_)
        return;
    // Nobody has shut it down: it may still write to memory that is free from here on.
    try {
        device_.set_bus_master(false);
    } catch (const outboard::Error&) {
        return;
    }
}

Doorbell Controller::doorbell(std::uint64_t offset) const {
    return Doorbell(region_.block<doorbell_bytes>(offset));
}

std::uint32_t Controller::queue_entries() const {
    const std::uint32_t most = registers_.read<Capabilities>()[Capabilities::max_queue_entries] + 1;
    return std::clamp<std::uint32_t>(most, 2, IoQueue::largest_entries);
}

Task<void> Controller::start() {
    Task<void> disabling = disable_controller(access());
    co_await std::move(disabling);
    device_.set_bus_master(true);
    Task<void> enabling = enable_controller(access());
    co_await std::move(enabling);
    Task<ControllerIdentity> identifying = identify_controller(access());
    identity_ = co_await std::move(identifying);
    if (identity_.doorbell_buffers)
        shadows_ = device_.arena().allocate(2 * page_bytes, page_bytes);

    Task<unsigned> counting = set_queue_count(access(), std::max(options_.queues, 1U));
    const unsigned granted = co_await std::move(counting);
    const unsigned pairs = std::min(granted, std::max(options_.queues, 1U));
    choose_interrupts(pairs);
    // A level-triggered line is served by one thread.
    make_queues(interrupt_kind_ == InterruptKind::intx ? 1 : pairs);
    Task<void> configuring = configure();
    co_await std::move(configuring);
    for (const Pair& pair : pairs_) {
        Task<void> creating = create_queue(*pair.queue);
        co_await std::move(creating);
    }
    Task<void> finding = find_namespaces();
    co_await std::move(finding);
    usable_ = true;
    start_services();
    Task<void> requesting = request_events();
    co_await std::move(requesting);
}

Task<void> Controller::find_namespaces() {
    Task<std::vector<std::uint32_t>> listing = list_namespaces(access(), identity_);
    std::vector<std::uint32_t> ids = co_await std::move(listing);
    if (ids.size() > most_namespaces) {
        tell(fmt::format("{} has {} namespaces: those after the first {} are left alone", name_, ids.size(),
                         most_namespaces));
        ids.resize(most_namespaces);
    }
    const ControllerLimits limits{.queue_depth = pairs_.front().queue->depth(),
                                  .max_queues = static_cast<std::uint16_t>(pairs_.size()),
                                  .write_cache = write_cache_};
    for (const std::uint32_t id : ids) {
        try {
            Task<NamespaceIdentity> identifying = identify_namespace(access(), id);
            const NamespaceIdentity found = co_await std::move(identifying);
            namespaces_.push_back(
                std::make_unique<Namespace>(*this, device_.arena(), identity_, found, limits, name_));
        } catch (const outboard::Error& error) {
            if (error.kind() == ErrorKind::timed_out)
                throw;
            tell(error.what());
        }
    }
}

void Controller::choose_interrupts(unsigned pairs) {
    if (options_.interrupts) {
        // A vector for the admin queue, and one for each pair.
        for (const InterruptKind kind : {InterruptKind::msix, InterruptKind::msi, InterruptKind::intx}) {
            const unsigned available = device_.interrupt_count(kind);
            if (available == 0)
                continue;
            interrupts_ = device_.enable_interrupts(kind, std::min(available, pairs + 1));
            interrupt_kind_ = kind;
            return;
        }
    }
    device_.poll_only();
}

std::optional<std::uint16_t> Controller::vector_of(const IoQueue& queue) const {
    if (interrupts_.empty())
        return std::nullopt;
    if (interrupts_.size() == 1)
        return std::uint16_t{0};
    return static_cast<std::uint16_t>(1 + (queue.id() - 1U) % (interrupts_.size() - 1));
}

void Controller::make_queues(unsigned pairs) {
    for (unsigned i = 0; i < pairs; ++i) {
        const auto id = static_cast<std::uint16_t>(i + 1);
        IoQueueSetup setup{.id = id,
                           .entries = queue_entries(),
                           .tail = doorbell(tail_doorbell(id, stride_)),
                           .head = doorbell(head_doorbell(id, stride_)),
                           .registers = registers_,
                           .command_limit = limits_.command};
        setup.interrupts = !interrupts_.empty();
        // INTx has to be acknowledged and unmasked: that is serve_interrupts' task.
        if (setup.interrupts && interrupt_kind_ != InterruptKind::intx)
            setup.interrupt =
                interrupts_[interrupts_.size() == 1 ? 0 : 1 + i % (interrupts_.size() - 1)].eventfd();
        pairs_.push_back({.queue = std::make_unique<IoQueue>(device_.arena(), attention_, setup)});
    }
}

/// What a reset undoes, but for the queues.
Task<void> Controller::configure() {
    if (identity_.write_cache) {
        Task<bool> switching = set_write_cache(access(), options_.write_cache);
        write_cache_ = co_await std::move(switching);
    }
    if (identity_.doorbell_buffers) {
        std::ranges::fill(shadows_.span().bytes(), std::byte{});
        Task<std::uint32_t> command =
            admin_.run(doorbell_buffer_config(shadows_.iova(), shadows_.iova() + page_bytes), limits_.command,
                       "Doorbell Buffer Config");
        co_await std::move(command);
    }
}

Task<void> Controller::create_queue(IoQueue& queue) {
    const std::uint64_t tail = tail_doorbell(queue.id(), stride_) - register_bytes;
    const std::uint64_t head = head_doorbell(queue.id(), stride_) - register_bytes;
    const auto shadow = [this](std::uint64_t offset) -> ShadowDoorbell {
        // Those that the page has no room for have none (Base 5.8).
        if (!identity_.doorbell_buffers || offset + sizeof(std::uint32_t) > page_bytes)
            return {};
        std::byte* const at = shadows_.address() + offset;
        return {.value = reinterpret_cast<std::uint32_t*>(at),
                .event_index = reinterpret_cast<std::uint32_t*>(at + page_bytes)};
    };
    queue.restart_rings(shadow(tail), shadow(head));
    const std::optional<std::uint16_t> vector = vector_of(queue);
    Task<std::uint32_t> completion =
        admin_.run(create_completion_queue(queue.id(), queue.completion().size(), queue.completion().iova(),
                                           vector ? &*vector : nullptr),
                   limits_.command, "Create I/O Completion Queue");
    co_await std::move(completion);
    Task<std::uint32_t> submission =
        admin_.run(create_submission_queue(queue.id(), queue.submission().size(), queue.submission().iova()),
                   limits_.command, "Create I/O Submission Queue");
    co_await std::move(submission);
}

void Controller::start_services() {
    attention_watch_.emplace(loop_, attention_.eventfd());
    attention_service_ = serve_attention();
    attention_service_.start();
    if (interrupts_.empty())
        return;
    interrupt_watch_.emplace(loop_, interrupts_.front().eventfd());
    interrupt_service_ = serve_interrupts();
    interrupt_service_.start();
}

std::vector<BlockDevice*> Controller::block_devices() {
    std::vector<BlockDevice*> devices;
    for (const auto& name_space : namespaces_)
        devices.push_back(name_space.get());
    return devices;
}

IoQueue& Controller::lend_queue(RunLoop& loop, const Target& target) {
    if (interrupt_kind_ == InterruptKind::intx && &loop != &loop_)
        throw outboard::Error({.kind = ErrorKind::usage,
                               .action = "open a queue of",
                               .subject = target.name,
                               .cause = "its interrupt is a level-triggered line, which one thread serves",
                               .remedy = "open it on the loop on which the driver was started, or poll"});
    const std::scoped_lock lock(lending_);
    const auto pair = std::ranges::find(pairs_, false, &Pair::lent);
    if (pair == pairs_.end())
        throw outboard::Error({.kind = ErrorKind::busy,
                               .action = "open a queue of",
                               .subject = target.name,
                               .cause = fmt::format("all {} I/O queue pairs are open", pairs_.size()),
                               .remedy = "start the driver with more queues"});
    pair->queue->open(loop, target);
    pair->lent = true;
    return *pair->queue;
}

void Controller::take_queue_back(IoQueue& queue) noexcept {
    queue.close();
    const std::scoped_lock lock(lending_);
    std::ranges::find(pairs_, &queue, [](const Pair& pair) { return pair.queue.get(); })->lent = false;
}

Task<void> Controller::shut_down() {
    attention_service_ = {};
    interrupt_service_ = {};
    attention_watch_.reset();
    interrupt_watch_.reset();
    attention_.deliver();
    std::exception_ptr failure;
    if (!lost_) {
        try {
            const Duration stated = std::chrono::microseconds(identity_.shutdown_time_us);
            Task<void> shutting = shut_controller_down(access(), std::max(stated, default_shutdown_limit));
            co_await std::move(shutting);
            Task<void> disabling = disable_controller(access());
            co_await std::move(disabling);
        } catch (const outboard::Error&) {
            failure = std::current_exception();
        }
    }
    if (interrupt_kind_) {
        device_.disable_interrupts(*interrupt_kind_);
        interrupts_.clear();
    }
    device_.set_bus_master(false);
    at_rest_ = true;
    if (failure)
        std::rethrow_exception(failure);
}

}  // namespace outboard::nvme
