#include "outboard/host/bench_load.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

namespace outboard {

namespace {

constexpr std::size_t page_bytes = 4096;

std::chrono::nanoseconds thread_cpu_time() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

BenchLoad::BenchLoad(RunLoop& loop, BlockDevice& disk, const BlockBenchOptions& options, std::uint64_t blocks)
    : loop_(&loop),
      options_(options),
      blocks_(blocks),
      pool_(std::in_place, disk.arena(), options.io_size, options.depth, page_bytes),
      queue_(disk.open_queue(loop)),
      slots_(options.depth),
      reaped_(options.depth),
      random_(options.seed),
      generations_(options.verify ? blocks : 0),
      busy_(options.verify ? blocks : 0),
      interval_(options.rate > 0
                    ? std::chrono::duration_cast<Duration>(std::chrono::duration<double>(1 / options.rate))
                    : Duration::zero()) {
    idle_.reserve(slots_.size());
    waiting_.reserve(slots_.size());
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        slots_[i].request.owner = &slots_[i];
        slots_[i].segment = (*pool_)[i];
        slots_[i].request.data = {&slots_[i].segment, 1};
        slots_[i].request.length = options.io_size;
        idle_.push_back(&slots_[i].request);
        bench::fill_pattern(slots_[i].segment.bytes(), options.seed, i, 0);
    }
}

std::unique_ptr<BlockBenchResult> BenchLoad::run(const std::function<void(double)>& progress) {
    phase_start_ = Clock::now();
    due_ = phase_start_;
    loop_->add_poller(*this);
    if (progress) {
        reporter_ = report(progress);
        reporter_.start();
    }
    while (phase_ != Phase::done)
        loop_->turn();
    loop_->remove_poller(*this);
    return std::move(result_);
}

void BenchLoad::close() noexcept {
    queue_.reset();
    pool_.reset();
}

Task<void> BenchLoad::report(const std::function<void(double)>& progress) {
    const auto total = std::chrono::duration<double>(options_.warmup + options_.duration).count();
    const TimePoint start = phase_start_;
    while (phase_ == Phase::warmup || phase_ == Phase::measure) {
        progress(std::min(1.0, std::chrono::duration<double>(Clock::now() - start).count() / total));
        co_await loop_->sleep_for(std::chrono::milliseconds(250));
    }
}

TimePoint BenchLoad::poll(TimePoint now) noexcept {
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
    TimePoint next = with_disk_ == 0 && interval_ == Duration::zero() ? now : queue_->next_reap(now);
    // Whatever the disk does, the next request has its time, and the phase its end.
    if (interval_ != Duration::zero() && phase_ != Phase::read_back)
        next = std::min({next, idle_.empty() || due_ <= now ? TimePoint::max() : due_,
                         phase_start_ + (phase_ == Phase::warmup ? options_.warmup : options_.duration)});
    return next;
}

void BenchLoad::change_phase(TimePoint now) noexcept {
    if (phase_ == Phase::warmup && (stopped() || now - phase_start_ >= options_.warmup)) {
        phase_ = Phase::measure;
        phase_start_ = now;
        due_ = std::max(due_, now);  // what was late in the warm-up is not measured
        cpu_start_ = thread_cpu_time();
    } else if (phase_ == Phase::measure && (stopped() || now - phase_start_ >= options_.duration)) {
        phase_ = Phase::drain;
        result_->elapsed = now - phase_start_;
        result_->cpu = thread_cpu_time() - cpu_start_;
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

void BenchLoad::finish(Slot& slot, TimePoint now) noexcept {
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

void BenchLoad::check(const Slot& slot) noexcept {
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

std::optional<std::uint64_t> BenchLoad::next_block() noexcept {
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

bool BenchLoad::fill(Slot& slot) noexcept {
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

void BenchLoad::submit(TimePoint now) noexcept {
    const bool paced = interval_ != Duration::zero() && phase_ != Phase::read_back;
    while (!idle_.empty() && (!paced || due_ <= now) && fill(*static_cast<Slot*>(idle_.back()->owner))) {
        waiting_.push_back(idle_.back());
        idle_.pop_back();
        static_cast<Slot*>(waiting_.back()->owner)->submitted = paced ? due_ : now;
        due_ += interval_;
    }
    const std::size_t taken = waiting_.empty() ? 0 : queue_->submit(waiting_);
    with_disk_ += taken;
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
}

}  // namespace outboard
