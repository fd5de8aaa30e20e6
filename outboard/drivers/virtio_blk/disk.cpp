#include "outboard/drivers/virtio_blk/disk.hpp"

#include "outboard/base/error.hpp"
#include "outboard/drivers/virtio_blk/request.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include <fmt/format.h>

namespace outboard::virtio_blk {

namespace {

using namespace std::chrono_literals;
using virtio::has;

/// The specification states none; 30 s is what other disk drivers allow.
constexpr std::chrono::milliseconds default_request_limit = 30s;
constexpr std::chrono::milliseconds default_reset_limit = 10s;
constexpr Duration first_look = 20us;
constexpr Duration longest_look = 2ms;

/// A request of the driver's own, in its page.
struct OwnRequest {
    RequestHeader header;
    std::array<char, id_bytes> id{};
    RequestStatus status = RequestStatus::unwritten;
};

}  // namespace

/// A queue on loan from the disk.
class Disk::LentQueue final : public BlockQueue {
  public:
    LentQueue(Disk& disk, DiskQueue& queue) noexcept : disk_(disk), queue_(queue) {}
    ~LentQueue() override { disk_.take_back(queue_); }
    LentQueue(const LentQueue&) = delete;
    LentQueue& operator=(const LentQueue&) = delete;
    LentQueue(LentQueue&&) = delete;
    LentQueue& operator=(LentQueue&&) = delete;

    std::size_t submit(std::span<BlockRequest* const> requests) noexcept override {
        return queue_.submit(requests);
    }
    std::size_t reap(std::span<BlockRequest*> finished) noexcept override { return queue_.reap(finished); }
    void leave_loop() noexcept override { queue_.leave_loop(); }
    TimePoint next_reap(TimePoint now) const noexcept override { return queue_.next_reap(now); }

  private:
    Disk& disk_;
    DiskQueue& queue_;
};

Disk::Disk(Device& device, RunLoop& loop, DriverOptions options)
    : loop_(loop),
      options_(std::move(options)),
      name_(device.name()),
      transport_(device, loop, options_.reset_timeout.value_or(default_reset_limit)),
      request_limit_(options_.command_timeout.value_or(default_request_limit)),
      attention_(options_.report),
      page_(device.arena().allocate(sizeof(OwnRequest), 4096)) {}

Disk::~Disk() {
    if (at_rest_)
        return;
    // Nobody has shut it down: it may still write to memory that is free from here on.
    try {
        transport_.device().set_bus_master(false);
    } catch (const outboard::Error&) {
        return;
    }
}

Task<void> Disk::start() {
    Task<void> beginning = reset_and_negotiate();
    co_await std::move(beginning);
    features_ = transport_.features();
    configuration_ = read_configuration(transport_);
    write_cache_ = switch_write_cache();
    make_queues();
    transport_.set_up_configuration_vector();
    for (const Entry& entry : queues_)
        transport_.set_up(entry.queue->ring());
    transport_.start();
    Task<std::string> asking = ask_serial();
    info_.serial = co_await std::move(asking);
    fill_info();
    usable_ = true;
    start_services();
    if (has(features_, feature::read_only))
        tell(fmt::format("{} is read-only", name_));
}

Task<void> Disk::reset_and_negotiate() {
    Task<void> resetting = transport_.reset();
    co_await std::move(resetting);
    transport_.device().set_bus_master(true);
    transport_.accept(wanted(transport_.begin()));
}

virtio::Features Disk::wanted(virtio::Features offered) const {
    // A device without a switch writes through when nobody can flush (5.2.5.1).
    if (options_.write_cache == false && !has(offered, feature::cache_switch))
        return feature::all & ~feature::flush;
    return feature::all;
}

/// Switches the write cache when told to, and says whether it is on.
bool Disk::switch_write_cache() {
    if (!has(features_, feature::cache_switch))
        return has(features_, feature::flush);
    if (options_.write_cache)
        transport_.write_configuration<std::uint8_t>(field::write_back, *options_.write_cache ? 1 : 0);
    return transport_.read_configuration<std::uint8_t>(field::write_back) != 0;
}

void Disk::make_queues() {
    const std::uint16_t size = std::min(transport_.largest_queue(0), DiskQueue::largest_size);
    const auto limits =
        make_limits(configuration_, size, has(features_, virtio::feature::indirect_descriptors));
    if (!limits)
        refuse_device(name_, std::string(limits.error()));
    limits_ = *limits;
    const unsigned offered =
        std::min<unsigned>(std::max(configuration_.queues, 1U), transport_.queue_count());
    auto count = static_cast<std::uint16_t>(std::clamp(offered, 1U, std::max(options_.queues, 1U)));
    transport_.enable_interrupts(count, options_.completion != CompletionMode::poll);
    const bool line = transport_.interrupt_kind() == InterruptKind::intx;
    // A level-triggered line is served by one thread.
    if (line)
        count = 1;
    for (std::uint16_t index = 0; index < count; ++index) {
        // A queue that is shorter than the first, or not there, ends the row.
        if (index != 0 && transport_.largest_queue(index) < size)
            break;
        DiskQueueSetup setup{.index = index,
                             .size = size,
                             .limits = limits_,
                             .read_only = has(features_, feature::read_only),
                             .can_flush = has(features_, feature::flush),
                             .write_cache = write_cache_,
                             .request_limit = request_limit_,
                             .name = name_};
        setup.interrupts = transport_.interrupt_kind().has_value();
        setup.adaptive = options_.completion == CompletionMode::adaptive;
        // INTx has to be acknowledged and unmasked: that is serve_interrupts' task.
        if (const Interrupt* const interrupt = transport_.interrupt_of(index))
            setup.interrupt = interrupt->eventfd();
        queues_.push_back({.queue = std::make_unique<DiskQueue>(transport_, attention_, setup)});
    }
}

void Disk::fill_info() {
    info_.model = "virtio-blk";
    info_.capacity = limits_.capacity;
    info_.block_size = limits_.block_size;
    info_.physical_block_size = limits_.physical_block_size;
    info_.max_transfer = limits_.max_transfer;
    info_.segment_alignment = 1;
    info_.segment_boundary = 1;
    info_.max_segments = limits_.max_segments;
    const bool read_only = has(features_, feature::read_only);
    info_.read_only = read_only;
    info_.max_discard = read_only ? 0 : limits_.max_discard;
    info_.max_write_zeroes = read_only ? 0 : limits_.max_write_zeroes;
    info_.queue_depth = limits_.depth;
    info_.max_queues = static_cast<std::uint16_t>(queues_.size());
    info_.volatile_write_cache = write_cache_;
    info_.force_unit_access = false;
    info_.rotational = false;
}

/// Sends a request of the driver's own by the first queue, in which no other one is, and waits for its end.
Task<RequestStatus> Disk::ask(RequestType type, std::string_view what) {
    auto& own = *page_.as<OwnRequest>();
    own = {.header = {.type = static_cast<std::uint32_t>(type), .reserved = 0U, .sector = 0UL}};
    const std::uint64_t iova = page_.iova();
    const std::array<virtio::Element, 3> parts{
        {{.iova = iova, .length = sizeof(RequestHeader), .device_writes = false},
         {.iova = iova + offsetof(OwnRequest, status), .length = 1, .device_writes = true},
         {}}};
    std::array<virtio::Element, 3> elements = parts;
    if (type == RequestType::get_id) {
        elements[2] = parts[1];
        elements[1] = {.iova = iova + offsetof(OwnRequest, id), .length = id_bytes, .device_writes = true};
    }
    DiskQueue& queue = *queues_.front().queue;
    virtio::Virtqueue& ring = queue.ring();
    ring.add(std::span(elements).first(type == RequestType::get_id ? 3 : 2), queue.spare_table(), 0);
    ring.publish();
    const TimePoint deadline = later(Clock::now(), request_limit_);
    Duration interval = first_look;
    virtio::Used used;
    virtio::Taken taken = ring.take(used);
    while (taken == virtio::Taken::nothing && Clock::now() < deadline) {
        co_await loop_.sleep_until(std::min(later(Clock::now(), interval), deadline));
        interval = std::min(2 * interval, longest_look);
        taken = ring.take(used);
    }
    // The interrupt of this one may have used up what was asked for; nothing else is in the ring.
    static_cast<void>(ring.arm());
    const RequestStatus status = std::atomic_ref(own.status).load(std::memory_order_relaxed);
    if (taken == virtio::Taken::one && status != RequestStatus::unwritten)
        co_return status;
    const bool late = taken == virtio::Taken::nothing;
    throw outboard::Error({.kind = late ? ErrorKind::timed_out : ErrorKind::io,
                           .action = fmt::format("{} of", what),
                           .subject = name_,
                           .cause = late ? "the device did not answer" : "the device answered what cannot be",
                           .remedy = {}});
}

/// A disk without a serial number gives none.
Task<std::string> Disk::ask_serial() {
    Task<RequestStatus> asking = ask(RequestType::get_id, "ask for the serial number");
    const RequestStatus status = co_await std::move(asking);
    std::string serial;
    if (status != RequestStatus::ok)
        co_return serial;
    // A copy: the device may change it meanwhile.
    const std::array<char, id_bytes> id = page_.as<OwnRequest>()->id;
    for (const char letter : id) {
        if (letter < ' ' || letter > '~')
            break;
        serial += letter;
    }
    co_return serial;
}

/// What is in its cache becomes stable.
Task<void> Disk::flush_cache() {
    Task<RequestStatus> asking = ask(RequestType::flush, "flush the cache");
    const RequestStatus status = co_await std::move(asking);
    if (status != RequestStatus::ok)
        throw outboard::Error({.kind = ErrorKind::io,
                               .action = "flush the cache of",
                               .subject = name_,
                               .cause = "the device reported an I/O error",
                               .remedy = {}});
}

void Disk::start_services() {
    attention_watch_.emplace(loop_, attention_.eventfd());
    attention_service_ = serve_attention();
    attention_service_.start();
    if (!transport_.interrupt_kind())
        return;
    interrupt_watch_.emplace(loop_, transport_.interrupts().front().eventfd());
    interrupt_service_ = serve_interrupts();
    interrupt_service_.start();
}

std::unique_ptr<BlockQueue> Disk::open_queue(RunLoop& loop) {
    if (transport_.interrupt_kind() == InterruptKind::intx && &loop != &loop_)
        throw outboard::Error({.kind = ErrorKind::usage,
                               .action = "open a queue of",
                               .subject = name_,
                               .cause = "its interrupt is a level-triggered line, which one thread serves",
                               .remedy = "open it on the loop on which the driver was started, or poll"});
    const std::scoped_lock lock(lending_);
    const auto entry = std::ranges::find(queues_, false, &Entry::lent);
    if (entry == queues_.end())
        throw outboard::Error({.kind = ErrorKind::busy,
                               .action = "open a queue of",
                               .subject = name_,
                               .cause = fmt::format("all {} queues are open", queues_.size()),
                               .remedy = "start the driver with more queues"});
    entry->queue->open(loop);
    entry->lent = true;
    return std::make_unique<LentQueue>(*this, *entry->queue);
}

void Disk::take_back(DiskQueue& queue) noexcept {
    const std::scoped_lock lock(lending_);
    queue.close();
    std::ranges::find(queues_, &queue, [](const Entry& entry) { return entry.queue.get(); })->lent = false;
}

Task<void> Disk::shut_down() {
    std::exception_ptr failure;
    // What was written is flushed when the disk works again, not left behind.
    try {
        const std::string what = fmt::format("the end of a reset of {}", name_);
        Task<void> waiting = wait_until(
            loop_, [this] { return usable_ || lost_; }, transport_.reset_limit() + request_limit_,
            longest_look, what);
        co_await std::move(waiting);
    } catch (const outboard::Error&) {
        failure = std::current_exception();
        if (has(features_, feature::flush))
            tell(fmt::format("{}: its write cache was not flushed", name_));
    }
    attention_service_ = {};
    interrupt_service_ = {};
    attention_watch_.reset();
    interrupt_watch_.reset();
    attention_.deliver();
    if (usable_ && has(features_, feature::flush)) {
        try {
            Task<void> flushing = flush_cache();
            co_await std::move(flushing);
        } catch (const outboard::Error&) {
            failure = std::current_exception();
        }
    }
    try {
        Task<void> resting = transport_.shut_down();
        co_await std::move(resting);
    } catch (const outboard::Error&) {
        if (!lost_ && !failure)
            failure = std::current_exception();
    }
    at_rest_ = true;
    if (failure)
        std::rethrow_exception(failure);
}

}  // namespace outboard::virtio_blk
