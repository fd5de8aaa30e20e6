#include "outboard/drivers/nvme/controller.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"

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
constexpr unsigned most_queues = 1024;

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
        refuse_device(name_, "its registers read as all ones: it was removed, or has no power");
    if (!capabilities[Capabilities::nvm_command_set])
        refuse_device(name_, "it has not the NVM command set");
    if (capabilities[Capabilities::min_page_size] != 0)
        refuse_device(name_, "its memory pages have more than 4096 bytes");
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

    // A queue that may choose between an interrupt and looking has a pair for each.
    const unsigned wanted = std::clamp(options_.queues, 1U, most_queues);
    const bool twofold = options_.completion == CompletionMode::adaptive;
    Task<unsigned> counting = set_queue_count(access(), twofold ? 2 * wanted : wanted);
    pair_count_ = co_await std::move(counting);
    const unsigned queues = std::min(pair_count_, wanted);
    choose_interrupts(queues);
    // A level-triggered line is served by one thread.
    make_queues(interrupt_kind_ == InterruptKind::intx ? 1 : queues);
    Task<void> configuring = configure();
    co_await std::move(configuring);
    for (const Lending& lending : queues_) {
        Task<void> creating = create_queue(*lending.queue);
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
    const ControllerLimits limits{.queue_depth = queues_.front().queue->depth(),
                                  .max_queues = static_cast<std::uint16_t>(queues_.size()),
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

void Controller::choose_interrupts(unsigned queues) {
    if (options_.completion != CompletionMode::poll) {
        // A vector for the admin queue, and one for each queue.
        for (const InterruptKind kind : {InterruptKind::msix, InterruptKind::msi, InterruptKind::intx}) {
            const unsigned available = device_.interrupt_count(kind);
            if (available == 0)
                continue;
            interrupts_ = device_.enable_interrupts(kind, std::min(available, queues + 1));
            interrupt_kind_ = kind;
            return;
        }
    }
    device_.poll_only();
}

/// The pairs that interrupt come first.
std::optional<std::uint16_t> Controller::vector_of(const QueuePair& pair) const {
    if (!pair.interrupts)
        return std::nullopt;
    if (interrupts_.size() == 1)
        return std::uint16_t{0};
    return static_cast<std::uint16_t>(1 + (pair.id - 1U) % (interrupts_.size() - 1));
}

QueuePairSetup Controller::pair_setup(unsigned id, bool interrupts) const {
    return {.id = static_cast<std::uint16_t>(id),
            .tail = doorbell(tail_doorbell(static_cast<std::uint16_t>(id), stride_)),
            .head = doorbell(head_doorbell(static_cast<std::uint16_t>(id), stride_)),
            .interrupts = interrupts};
}

void Controller::make_queues(unsigned queues) {
    const bool interrupts = !interrupts_.empty();
    const bool twofold =
        interrupts && options_.completion == CompletionMode::adaptive && pair_count_ >= 2 * queues;
    for (unsigned i = 0; i < queues; ++i) {
        IoQueueSetup setup{.pairs = {pair_setup(i + 1, interrupts)},
                           .entries = queue_entries(),
                           .registers = registers_,
                           .command_limit = limits_.command};
        setup.spin = options_.completion == CompletionMode::poll;
        if (twofold)
            setup.pairs.push_back(pair_setup(queues + i + 1, false));
        // INTx has to be acknowledged and unmasked: that is serve_interrupts' task.
        if (interrupts && interrupt_kind_ != InterruptKind::intx)
            setup.interrupt =
                interrupts_[interrupts_.size() == 1 ? 0 : 1 + i % (interrupts_.size() - 1)].eventfd();
        queues_.push_back({.queue = std::make_unique<IoQueue>(device_.arena(), attention_, setup)});
    }
    pair_count_ = twofold ? 2 * queues : queues;
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
    const auto shadow = [this](std::uint64_t doorbell) -> ShadowDoorbell {
        // Those that the page has no room for have none (Base 5.8).
        const std::uint64_t offset = doorbell - register_bytes;
        if (!identity_.doorbell_buffers || offset + sizeof(std::uint32_t) > page_bytes)
            return {};
        std::byte* const at = shadows_.address() + offset;
        return {.value = reinterpret_cast<std::uint32_t*>(at),
                .event_index = reinterpret_cast<std::uint32_t*>(at + page_bytes)};
    };
    for (QueuePair& pair : queue.pairs()) {
        pair.restart(shadow(tail_doorbell(pair.id, stride_)), shadow(head_doorbell(pair.id, stride_)));
        const std::optional<std::uint16_t> vector = vector_of(pair);
        Task<std::uint32_t> completion =
            admin_.run(create_completion_queue(pair.id, pair.completion.size(), pair.completion.iova(),
                                               vector ? &*vector : nullptr),
                       limits_.command, "Create I/O Completion Queue");
        co_await std::move(completion);
        Task<std::uint32_t> submission =
            admin_.run(create_submission_queue(pair.id, pair.submission.size(), pair.submission.iova()),
                       limits_.command, "Create I/O Submission Queue");
        co_await std::move(submission);
    }
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
    const auto free = std::ranges::find_if(
        queues_, [](const Lending& lending) { return !lending.lent && !lending.withdrawn; });
    if (free == queues_.end())
        throw outboard::Error({.kind = ErrorKind::busy,
                               .action = "open a queue of",
                               .subject = target.name,
                               .cause = fmt::format("all {} I/O queues are open", queues_.size()),
                               .remedy = "start the driver with more queues"});
    free->queue->open(loop, target);
    free->lent = true;
    return *free->queue;
}

void Controller::take_queue_back(IoQueue& queue) noexcept {
    const std::scoped_lock lock(lending_);
    queue.close();
    std::ranges::find(queues_, &queue, [](const Lending& lending) { return lending.queue.get(); })->lent =
        false;
}

Task<void> Controller::shut_down() {
    std::exception_ptr failure;
    // A controller that is being reset can be told to empty its cache when it works again.
    try {
        const std::string what = fmt::format("the end of a reset of {}", name_);
        Task<void> waiting = wait_until(
            loop_, [this] { return usable_ || lost_; }, limits_.ready + limits_.command, 1ms, what);
        co_await std::move(waiting);
    } catch (const outboard::Error&) {
        failure = std::current_exception();
    }
    attention_service_ = {};
    interrupt_service_ = {};
    attention_watch_.reset();
    interrupt_watch_.reset();
    attention_.deliver();
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
