#include "outboard/host/block_bench.hpp"

#include "outboard/base/error.hpp"
#include "outboard/host/bench_pattern.hpp"
#include "outboard/runtime/task.hpp"

#include <algorithm>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace outboard {

namespace {

constexpr std::size_t page_bytes = 4096;

std::chrono::nanoseconds process_cpu_time() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

[[noreturn]] void refuse(const BlockInfo& info, std::string cause) {
    throw Error({.kind = ErrorKind::usage,
                 .action = "measure",
                 .subject = info.model,
                 .cause = std::move(cause),
                 .remedy = {}});
}

/// The load: keeps `depth` requests with the disk until time is over, then reads back what was written.
class Load final : public Poller {
  public:
    Load(RunLoop& loop, BlockDevice& disk, const BlockBenchOptions& options, std::uint64_t blocks);

    /// Turns the loop until all is done.
    std::unique_ptr<BlockBenchResult> run(const std::function<void(double)>& progress);

  private:
    enum class Phase { warmup, measure, drain, read_back, done };

    struct Slot {
        BlockRequest request;
        DmaSpan segment;
        TimePoint submitted;
        std::uint64_t block = 0;
    };

    TimePoint poll(TimePoint now) noexcept override;
    void change_phase(TimePoint now) noexcept;
    void finish(Slot& slot, TimePoint now) noexcept;
    void check(const Slot& slot) noexcept;
    bool fill(Slot& slot) noexcept;
    bool stopped() const noexcept { return options_.stop && *options_.stop; }
    std::optional<std::uint64_t> next_block() noexcept;
    void submit(TimePoint now) noexcept;
    Task<void> report(const std::function<void(double)>& progress);

    RunLoop* loop_;
    BlockBenchOptions options_;
    std::uint64_t blocks_;
    DmaPool pool_;
    std::unique_ptr<BlockQueue> queue_;
    std::vector<Slot> slots_;
    std::vector<BlockRequest*> idle_;     ///< slots without a request
    std::vector<BlockRequest*> waiting_;  ///< filled in, not yet taken by the disk
    std::vector<BlockRequest*> reaped_;
    std::size_t with_disk_ = 0;

    bench::RandomNumbers random_;
    std::uint64_t sequential_ = 0;
    std::vector<std::uint16_t>
        generations_;                 ///< per block: how often it was written; empty without verification
    std::vector<std::uint8_t> busy_;  ///< per block: a request is with the disk

    Phase phase_ = Phase::warmup;
    TimePoint phase_start_;
    std::chrono::nanoseconds cpu_start_{0};
    std::unique_ptr<BlockBenchResult> result_ = std::make_unique<BlockBenchResult>();
    Task<void> reporter_;  ///< goes first: it looks at the others
};

Load::Load(RunLoop& loop, BlockDevice& disk, const BlockBenchOptions& options, std::uint64_t blocks)
    : loop_(&loop),
      options_(options),
      blocks_(blocks),
      pool_(disk.arena(), options.io_size, options.depth, page_bytes),
      queue_(disk.open_queue(loop)),
      slots_(options.depth),
      reaped_(options.depth),
      random_(options.seed),
      generations_(options.verify ? blocks : 0),
      busy_(options.verify ? blocks : 0) {
    idle_.reserve(slots_.size());
    waiting_.reserve(slots_.size());
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        slots_[i].request.owner = &slots_[i];
        slots_[i].segment = pool_[i];
        slots_[i].request.data = {&slots_[i].segment, 1};
        slots_[i].request.length = options.io_size;
        idle_.push_back(&slots_[i].request);
        bench::fill_pattern(pool_[i].bytes(), options.seed, i, 0);
    }
}

std::unique_ptr<BlockBenchResult> Load::run(const std::function<void(double)>& progress) {
    phase_start_ = Clock::now();
    loop_->add_poller(*this);
    if (progress) {
        reporter_ = report(progress);
        reporter_.start();
    }
    while (phase_ != Phase::done)
        loop_->turn();
    loop_->remove_poller(*this);
    queue_.reset();
    return std::move(result_);
}

Task<void> Load::report(const std::function<void(double)>& progress) {
    const auto total = std::chrono::duration<double>(options_.warmup + options_.duration).count();
    const TimePoint start = phase_start_;
    while (phase_ == Phase::warmup || phase_ == Phase::measure) {
        progress(std::min(1.0, std::chrono::duration<double>(Clock::now() - start).count() / total));
        co_await loop_->sleep_for(std::chrono::milliseconds(250));
    }
}

TimePoint Load::poll(TimePoint now) noexcept {
    const std::size_t count = with_disk_ == 0 ? 0 : queue_->reap(reaped_);
    with_disk_ -= count;
    if (count != 0)
        now = Clock::now();
    for (std::size_t i = 0; i < count; ++i)
        finish(*static_cast<Slot*>(reaped_[i]->owner), now);
    change_phase(now);
    submit(now);
    if (phase_ == Phase::done)
        return now;
    return with_disk_ == 0 ? now : queue_->next_reap(now);
}

void Load::change_phase(TimePoint now) noexcept {
    if (phase_ == Phase::warmup && (stopped() || now - phase_start_ >= options_.warmup)) {
        phase_ = Phase::measure;
        phase_start_ = now;
        cpu_start_ = process_cpu_time();
    } else if (phase_ == Phase::measure && (stopped() || now - phase_start_ >= options_.duration)) {
        phase_ = Phase::drain;
        result_->elapsed = now - phase_start_;
        result_->cpu = process_cpu_time() - cpu_start_;
    }
    if (with_disk_ != 0 || !waiting_.empty())
        return;
    if (phase_ == Phase::drain) {
        phase_ =
            options_.verify && options_.read_percent < 100 && !stopped() ? Phase::read_back : Phase::done;
        sequential_ = 0;
    } else if (phase_ == Phase::read_back && (stopped() || sequential_ == blocks_)) {
        phase_ = Phase::done;
    }
}

void Load::finish(Slot& slot, TimePoint now) noexcept {
    if (options_.verify)
        busy_[slot.block] = 0;
    idle_.push_back(&slot.request);
    const bool good = slot.request.status == BlockStatus::ok;
    if (!good) {
        ++result_->errors;
        if (result_->first_error == BlockStatus::ok)
            result_->first_error = slot.request.status;
        if (options_.verify && slot.request.operation == BlockOperation::write)
            generations_[slot.block] = 0;  // nobody knows what it holds now
    }
    if (phase_ == Phase::measure) {
        ++result_->requests;
        result_->bytes += good ? options_.io_size : 0;
        result_->latency.record(static_cast<std::uint64_t>((now - slot.submitted).count()));
    }
    if (good && options_.verify && slot.request.operation == BlockOperation::read)
        check(slot);
}

void Load::check(const Slot& slot) noexcept {
    // A run that only reads finds whatever generation an earlier run with this seed left.
    const std::uint16_t generation = generations_[slot.block];
    if (generation == 0 && options_.read_percent < 100)
        return;
    const auto expected = generation != 0 ? std::optional(generation) : std::nullopt;
    ++result_->blocks_verified;
    if (!bench::matches_pattern(slot.segment.bytes(), options_.seed, slot.block, expected)) {
        ++result_->blocks_differing;
        ++result_->errors;
    }
}

std::optional<std::uint64_t> Load::next_block() noexcept {
    if (phase_ == Phase::read_back) {
        while (sequential_ < blocks_ && generations_[sequential_] == 0)
            ++sequential_;
        return sequential_ < blocks_ ? std::optional(sequential_++) : std::nullopt;
    }
    // With verification a block has one request at a time, or nobody could say what it must hold.
    for (int attempt = 0; attempt < 8; ++attempt) {
        const std::uint64_t block = options_.random ? random_.below(blocks_) : sequential_++ % blocks_;
        if (!options_.verify || busy_[block] == 0)
            return block;
    }
    return std::nullopt;
}

bool Load::fill(Slot& slot) noexcept {
    if (phase_ == Phase::drain || phase_ == Phase::done || stopped())
        return false;
    const std::optional<std::uint64_t> block = next_block();
    if (!block)
        return false;
    slot.block = *block;
    slot.request.offset = options_.offset + *block * options_.io_size;
    slot.request.status = BlockStatus::pending;
    const bool reads = phase_ == Phase::read_back || random_.below(100) < options_.read_percent;
    slot.request.operation = reads ? BlockOperation::read : BlockOperation::write;
    if (!options_.verify)
        return true;
    busy_[*block] = 1;
    if (!reads) {
        std::uint16_t& generation = generations_[*block];
        generation = static_cast<std::uint16_t>(generation == 0xffff ? 1 : generation + 1);
        bench::fill_pattern(slot.segment.bytes(), options_.seed, *block, generation);
    }
    return true;
}

void Load::submit(TimePoint now) noexcept {
    while (!idle_.empty() && fill(*static_cast<Slot*>(idle_.back()->owner))) {
        waiting_.push_back(idle_.back());
        idle_.pop_back();
        static_cast<Slot*>(waiting_.back()->owner)->submitted = now;
    }
    const std::size_t taken = waiting_.empty() ? 0 : queue_->submit(waiting_);
    with_disk_ += taken;
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
}

}  // namespace

std::size_t block_bench_arena_bytes(const BlockBenchOptions& options) noexcept {
    return (options.io_size + page_bytes - 1) / page_bytes * page_bytes * options.depth;
}

std::unique_ptr<BlockBenchResult> run_block_bench(RunLoop& loop, BlockDevice& disk,
                                                  const BlockBenchOptions& options,
                                                  const std::function<void(double)>& progress) {
    const BlockInfo& info = disk.info();
    if (options.io_size == 0 || options.io_size % info.block_size != 0)
        refuse(info, fmt::format("{} bytes are not a whole number of its blocks of {}", options.io_size,
                                 info.block_size));
    if (options.io_size > info.max_transfer)
        refuse(info, fmt::format("it transfers at most {} bytes at once", info.max_transfer));
    if (options.offset % info.block_size != 0 || options.offset > info.capacity)
        refuse(info, fmt::format("offset {} is not the start of one of its blocks", options.offset));
    const std::uint64_t room = info.capacity - options.offset;
    const std::uint64_t size = options.size == 0 ? room : options.size;
    if (size > room)
        refuse(info,
               fmt::format("{} bytes from {} go beyond its end at {}", size, options.offset, info.capacity));
    const std::uint64_t blocks = size / options.io_size;
    if (blocks == 0)
        refuse(info, fmt::format("the range of {} bytes is smaller than one request", size));
    Load load(loop, disk, options, blocks);
    return load.run(progress);
}

}  // namespace outboard
