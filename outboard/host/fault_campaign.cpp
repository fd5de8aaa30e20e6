#include "outboard/host/fault_campaign.hpp"

#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"
#include "outboard/host/driver_table.hpp"
#include "outboard/host/fault_orders.hpp"
#include "outboard/host/sector_ledger.hpp"
#include "outboard/host/verifying_load.hpp"
#include "outboard/sim/server.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;
using sim::FaultKind;

constexpr Duration hang = 10s;
/// A fault that has no opportunity in so many requests is given up.
constexpr std::uint64_t patience = 2000;
/// Requests after each fault that show that the device works, and flush out what comes late.
constexpr std::uint64_t probes = VerifyingLoad::depth;
/// The part of the disk that is used: small, so that every sector is written and read often.
constexpr std::uint64_t used_bytes = std::uint64_t{4} << 20;
constexpr unsigned restarts = 3;

sim::ModelOptions model_options(const sim::ModelDescription& model) {
    sim::ModelOptions options(model.options);
    options.set("size", "16M");
    return options;
}

/// The device, the driver on it and the load; what they are made of is made again when the device was lost.
class Campaign {
  public:
    explicit Campaign(const CampaignOptions& options)
        : options_(options),
          random_(options.seed),
          ledger_(used_bytes / sector_bytes, sector_bytes, options.seed) {
        if (options_.model != nullptr) {
            model_ = options_.model->make(model_options(*options_.model));
            model_->fault_port().offer(options_.model->faults);
            server_.emplace(*model_, sim::ServerOptions{.socket = options_.socket, .log = {}});
        }
        open();
        choose_kinds();
        // The ledger begins with zeros, and a disk of somebody else's has what it has.
        if (model_ == nullptr && !load_->write_zeroes(Clock::now() + hang))
            throw Error({.kind = ErrorKind::io,
                         .action = "overwrite",
                         .subject = device_->name(),
                         .cause = "a write failed although no fault was under way",
                         .remedy = {}});
    }
    ~Campaign() { close(); }
    Campaign(const Campaign&) = delete;
    Campaign& operator=(const Campaign&) = delete;
    Campaign(Campaign&&) = delete;
    Campaign& operator=(Campaign&&) = delete;

    /// Nothing when the fault found no opportunity.
    std::optional<FaultOutcome> strike(FaultKind kind);

    FaultKind choose() { return kinds_[random_.below(kinds_.size())]; }

  private:
    static constexpr std::uint32_t sector_bytes = 512;

    void choose_kinds();
    void open();
    void close() noexcept;
    void reopen();
    void drain();
    void probe();
    bool await_strike(FaultKind kind, std::uint64_t struck);

    const CampaignOptions& options_;
    std::vector<FaultKind> kinds_ = options_.kinds;
    bench::RandomNumbers random_;
    std::unique_ptr<sim::PciModel> model_;
    std::optional<sim::ServerThread> server_;
    SectorLedger ledger_;
    RunLoop loop_;
    std::unique_ptr<Device> device_;
    std::optional<FaultOrders> faults_;
    std::unique_ptr<Driver> driver_;
    std::unique_ptr<VerifyingLoad> load_;
    std::uint64_t resets_ = 0;
};

void Campaign::choose_kinds() {
    const std::vector<FaultKind> possible = faults_->possible();
    if (kinds_.empty())
        kinds_ = possible;
    for (const FaultKind kind : kinds_)
        if (std::ranges::find(possible, kind) == possible.end())
            throw Error({.kind = ErrorKind::usage,
                         .action = "order " + std::string(sim::name_of(kind)),
                         .subject = "of " + device_->name(),
                         .cause = "it cannot have such a fault",
                         .remedy = "docs/sim.md says which devices can have which"});
}

void Campaign::open() {
    auto backend = vfio_user::VfioUserBackend::open(options_.socket.string());
    faults_.emplace(*backend);
    device_ = std::make_unique<Device>(std::move(backend));
    const KnownDriver* const driver = find_driver(device_->config().identity());
    if (!driver)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "drive",
                     .subject = device_->name(),
                     .cause = "no driver of this program knows the simulated device",
                     .remedy = {}});
    const DriverDescription* const description = &load_driver(*driver);
    DriverOptions driver_options;
    device_->create_arena({.size = description->dma_bytes_for(driver_options) + VerifyingLoad::arena_bytes,
                           .address_bits = description->dma_address_bits,
                           .huge_pages = false});
    driver_options.command_timeout = options_.command_timeout;
    driver_options.reset_timeout = 5 * options_.command_timeout;
    driver_options.report = [this](std::string_view line) {
        if (line.find("reset") != std::string_view::npos)
            ++resets_;
    };
    driver_ = loop_.run(description->start(*device_, loop_, std::move(driver_options)));
    const std::vector<BlockDevice*> disks = driver_->block_devices();
    if (disks.empty())
        throw Error({.kind = ErrorKind::not_found,
                     .action = "find a disk of",
                     .subject = device_->name(),
                     .cause = "the driver found none",
                     .remedy = {}});
    const BlockInfo& disk = disks.front()->info();
    if (sector_bytes % disk.block_size != 0 || disk.capacity < used_bytes)
        throw Error(
            {.kind = ErrorKind::unsupported,
             .action = "run a fault campaign on",
             .subject = device_->name(),
             .cause = fmt::format("its disk has {} bytes in blocks of {}", disk.capacity, disk.block_size),
             .remedy =
                 fmt::format("use one of at least {} bytes in blocks of {}", used_bytes, sector_bytes)});
    load_ = std::make_unique<VerifyingLoad>(loop_, *disks.front(), ledger_, random_.next());
}

void Campaign::close() noexcept {
    load_.reset();
    driver_.reset();
    faults_.reset();
    device_.reset();
}

/// Another driver on the same device, as a supervisor would start it.
void Campaign::reopen() {
    ledger_.power_lost();
    for (unsigned attempt = 1;; ++attempt) {
        close();
        try {
            open();
            return;
        } catch (const Error&) {
            if (attempt == restarts)
                throw;
        }
    }
}

void Campaign::drain() {
    load_->submit(false);
    const TimePoint limit = Clock::now() + hang;
    while (load_->outstanding() != 0) {
        if (Clock::now() >= limit)
            throw Error({.kind = ErrorKind::timed_out,
                         .action = "finish",
                         .subject = fmt::format("{} requests on {}", load_->outstanding(), device_->name()),
                         .cause = "the driver let them hang",
                         .remedy = {}});
        load_->turn(limit);
    }
}

void Campaign::probe() {
    const std::uint64_t end = load_->counts().requests + probes;
    const TimePoint limit = Clock::now() + hang;
    load_->submit(true);
    while (load_->counts().requests < end && Clock::now() < limit)
        load_->turn(limit);
    drain();
}

bool Campaign::await_strike(FaultKind kind, std::uint64_t struck) {
    const std::uint64_t end = load_->counts().requests + patience;
    const TimePoint limit = Clock::now() + hang;
    load_->submit(true);
    while (faults_->struck(kind) == struck) {
        if (load_->counts().requests >= end || Clock::now() >= limit)
            return !faults_->take_back(kind);
        load_->turn(Clock::now() + 1ms);
    }
    return true;
}

std::optional<FaultOutcome> Campaign::strike(FaultKind kind) {
    FaultOutcome outcome{.kind = kind};
    const LoadCounts before = load_->counts();
    const std::uint64_t resets = resets_;
    load_->begin_window();
    const std::uint64_t struck = faults_->struck(kind);
    faults_->order(kind);
    // Only what is reset can fail to.
    if (kind == FaultKind::reset_failure)
        faults_->order(FaultKind::never_ready);
    if (!await_strike(kind, struck)) {
        drain();
        return std::nullopt;
    }
    const TimePoint begin = Clock::now();
    drain();
    if (load_->counts().removed != before.removed) {
        outcome.reopened = true;
        outcome.failed_to_caller = true;
        outcome.mismatches = static_cast<std::uint32_t>(load_->counts().mismatches - before.mismatches);
        reopen();
        outcome.recovery = Clock::now() - begin;
        probe();
        outcome.mismatches += static_cast<std::uint32_t>(load_->counts().mismatches);
    } else {
        outcome.recovery = Clock::now() - begin;
        probe();
        outcome.failed_to_caller = load_->counts().failed != before.failed;
        outcome.mismatches = static_cast<std::uint32_t>(load_->counts().mismatches - before.mismatches);
        if (may_corrupt(kind) && !load_->rewrite_window(Clock::now() + hang))
            throw Error({.kind = ErrorKind::io,
                         .action = "write",
                         .subject = device_->name(),
                         .cause = "a write failed although no fault was under way",
                         .remedy = {}});
    }
    outcome.reset_needed = resets_ != resets;
    if (may_corrupt(kind)) {
        outcome.corrupted = outcome.mismatches != 0;
        outcome.mismatches = 0;
    }
    return outcome;
}

}  // namespace

bool may_corrupt(FaultKind kind) noexcept {
    switch (kind) {
        case FaultKind::wrong_identifier:
        case FaultKind::dma_short:
        case FaultKind::dma_misplaced:
        case FaultKind::data_stale:
        case FaultKind::data_torn:
        case FaultKind::queue_overwrite:
            return true;
        default:
            return false;
    }
}

void run_fault_campaign(const CampaignOptions& options,
                        const std::function<void(const FaultOutcome&)>& each) {
    Campaign campaign(options);
    std::uint64_t in_vain = 0;
    for (std::uint64_t done = 0; done < options.count;) {
        const auto outcome = campaign.strike(campaign.choose());
        if (outcome) {
            ++done;
            in_vain = 0;
            each(*outcome);
        } else if (++in_vain == 100) {
            throw Error({.kind = ErrorKind::failed,
                         .action = "bring about",
                         .subject = "faults of the simulated device",
                         .cause = "none of the kinds asked for finds an opportunity",
                         .remedy = "ask for other kinds"});
        }
    }
}

}  // namespace outboard
