#include "outboard/sim/models/ahci/disk.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <numeric>

namespace outboard::sim::ahci {

namespace {

constexpr std::uint8_t log_directory = 0x00;
constexpr std::uint8_t log_of_queued_errors = 0x10;
constexpr std::uint8_t power_active = 0xff;

StorageOptions checked(const DiskOptions& options) {
    const std::uint32_t sector = options.disk.storage.block_size;
    if ((sector != 512 && sector != 4096) || options.queue_depth > 32)
        throw Error({.kind = ErrorKind::usage,
                     .action = "simulate",
                     .subject = "a SATA disk",
                     .cause = "its logical sectors have 512 or 4096 bytes, its queue at most 32 commands",
                     .remedy = {}});
    return options.disk.storage;
}

std::uint64_t little_endian(std::span<const std::byte> bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    return value;
}

}  // namespace

Disk::Disk(const DiskOptions& options) : options_(options), storage_(checked(options)) {
    identity_ = {.serial = options.disk.serial,
                 .model = options.disk.model,
                 .firmware = options.disk.firmware,
                 .sectors = storage_.size() / storage_.block_size(),
                 .sector_size = storage_.block_size(),
                 .extended = options.disk.extended,
                 .has_write_cache = options.disk.write_cache,
                 .serial_ata = true,
                 .queue_depth = options.disk.extended ? options.queue_depth : 0};
    reset(true);
}

void Disk::reset(bool power) noexcept {
    queued_error_ = false;
    if (!power && !settings_.reverts_on_reset)
        return;
    settings_ = {};
    settings_.write_cache = options_.disk.write_cache;
}

Duration Disk::latency(const Plan& plan) const noexcept {
    switch (plan.action) {
        case Plan::Action::refuse:
        case Plan::Action::page:
        case Plan::Action::nothing:
            return {};
        case Plan::Action::flush:
            return storage_.unstable_bytes() > 0 ? options_.disk.latency : Duration::zero();
        default:
            return options_.disk.latency;
    }
}

// ---- commands ----

Plan Disk::plan(const Request& request) {
    const auto sectors28 = [&] { return (request.count & 0xffU) == 0 ? 256U : request.count & 0xffU; };
    const auto sectors48 = [&] { return request.count == 0 ? 65536U : std::uint32_t{request.count}; };
    const Plan aborted{.error = ata::error_aborted};
    if (queued_error_ && request.opcode != ata::read_log_ext)
        return aborted;
    if (!identity_.extended) {
        switch (request.opcode) {
            case ata::data_set_management:
            case ata::read_dma_ext:
            case ata::write_dma_ext:
            case ata::write_dma_fua_ext:
            case ata::read_verify_ext:
            case ata::flush_cache_ext:
                return aborted;
            default:
                break;
        }
    }
    switch (request.opcode) {
        case ata::read_fpdma_queued:
        case ata::write_fpdma_queued: {
            if (identity_.queue_depth == 0 || request.tag() >= identity_.queue_depth)
                return aborted;
            const std::uint32_t sectors = request.features == 0 ? 65536U : request.features;
            Plan plan = plan_transfer(request, request.opcode == ata::write_fpdma_queued, true, sectors);
            plan.stable = plan.stable || (request.device & 0x80) != 0;
            return plan;
        }
        case ata::read_dma:
        case ata::write_dma:
            return plan_transfer(request, request.opcode == ata::write_dma, false, sectors28());
        case ata::read_dma_ext:
        case ata::write_dma_ext:
        case ata::write_dma_fua_ext: {
            Plan plan = plan_transfer(request, request.opcode != ata::read_dma_ext, true, sectors48());
            plan.stable = plan.stable || request.opcode == ata::write_dma_fua_ext;
            return plan;
        }
        case ata::read_sectors:
        case ata::read_sectors_ext: {
            const bool extended = request.opcode == ata::read_sectors_ext;
            Plan plan = plan_transfer(request, false, extended, extended ? sectors48() : sectors28());
            plan.pio = true;
            return plan;
        }
        case ata::read_verify:
        case ata::read_verify_ext: {
            const bool extended = request.opcode == ata::read_verify_ext;
            Plan plan = plan_transfer(request, false, extended, extended ? sectors48() : sectors28());
            if (plan.action == Plan::Action::read)
                plan.action = Plan::Action::verify;
            return plan;
        }
        case ata::flush_cache:
        case ata::flush_cache_ext:
            return {.action = Plan::Action::flush};
        case ata::data_set_management:
            if ((request.features & ata::trim) == 0 || request.count == 0 ||
                request.count > ata::most_trim_blocks)
                return aborted;
            return {.action = Plan::Action::trim, .bytes = request.count * ata::information_block};
        case ata::identify_device:
            page_ = identify_data(identity_, settings_);
            return {.action = Plan::Action::page, .bytes = page_.size(), .to_host = true, .pio = true};
        case ata::set_features:
            return plan_feature(request);
        case ata::read_log_ext:
            return plan_log(request);
        case ata::standby_immediate:
        case ata::idle_immediate:
            return {.action = Plan::Action::nothing};
        case ata::check_power_mode:
            return {.action = Plan::Action::nothing, .count = power_active};
        default:
            return aborted;
    }
}

Plan Disk::plan_transfer(const Request& request, bool write, bool extended, std::uint32_t sectors) {
    if ((request.device & ata::device_lba) == 0)
        return {.error = ata::error_aborted};
    const std::uint64_t first =
        extended ? request.lba
                 : (request.lba & 0xffffff) | (std::uint64_t{request.device} & ata::device_lba_bits) << 24;
    const std::uint64_t end = extended ? identity_.sectors : std::min(identity_.sectors, ata::end_of_28);
    if (first >= end || sectors > end - first)
        return {.error = ata::error_id_not_found};
    return {.action = write ? Plan::Action::write : Plan::Action::read,
            .offset = first * identity_.sector_size,
            .bytes = std::uint64_t{sectors} * identity_.sector_size,
            .to_host = !write,
            .stable = !settings_.write_cache};
}

Plan Disk::plan_feature(const Request& request) {
    const Plan done{.action = Plan::Action::nothing};
    const Plan aborted{.error = ata::error_aborted};
    switch (request.features & 0xff) {
        case ata::enable_write_cache:
            settings_.write_cache = options_.disk.write_cache;
            return options_.disk.write_cache ? done : aborted;
        case ata::disable_write_cache:
            settings_.write_cache = false;
            return options_.disk.write_cache && storage_.flush() == 0 ? done : aborted;
        case ata::set_transfer_mode: {
            const unsigned mode = request.count & 0xffU;
            const bool ultra = (mode & ata::mode_kind) == ata::mode_ultra_dma;
            if (ultra && (mode & ata::mode_number) <= ata::fastest_ultra_dma)
                settings_.dma_mode = static_cast<std::uint8_t>(mode);
            // Behind a SATA link a mode is no more than a number.
            return done;
        }
        case ata::enable_look_ahead:
        case ata::disable_look_ahead:
            settings_.look_ahead = (request.features & 0xff) == ata::enable_look_ahead;
            return done;
        case ata::keep_settings_on_reset:
        case ata::revert_settings_on_reset:
            settings_.reverts_on_reset = (request.features & 0xff) == ata::revert_settings_on_reset;
            return done;
        default:
            return aborted;
    }
}

Plan Disk::plan_log(const Request& request) {
    const auto log = static_cast<std::uint8_t>(request.lba);
    if (request.count != 1 || (log != log_directory && log != log_of_queued_errors))
        return {.error = ata::error_aborted};
    page_ = {};
    if (log == log_directory) {
        page_[0] = std::byte{1};  // version
        page_[2 * std::size_t{log_of_queued_errors}] = std::byte{1};
    } else {
        page_ = error_log_;
        queued_error_ = false;
    }
    return {.action = Plan::Action::page, .bytes = page_.size(), .to_host = true, .pio = true};
}

void Disk::note_queued_error(unsigned tag, std::uint8_t error) noexcept {
    queued_error_ = true;
    error_log_ = {};
    error_log_[0] = static_cast<std::byte>(tag);
    error_log_[2] = std::byte{ata::status_ready | ata::status_error};
    error_log_[3] = static_cast<std::byte>(error);
    const auto add = [](unsigned sum, std::byte byte) { return sum + std::to_integer<unsigned>(byte); };
    const unsigned sum = std::accumulate(error_log_.begin(), error_log_.end(), 0U, add);
    error_log_.back() = static_cast<std::byte>(0x100 - sum % 0x100);
}

// ---- the medium ----

std::uint8_t Disk::verify(const Plan& plan) const noexcept {
    const std::uint64_t first = plan.offset / identity_.sector_size;
    const std::uint64_t end = first + plan.bytes / identity_.sector_size;
    const bool spoiled = std::ranges::any_of(options_.disk.bad, [&](const BadSectors& bad) {
        return bad.first < end && first < bad.first + bad.count;
    });
    return spoiled ? ata::error_uncorrectable : std::uint8_t{0};
}

std::uint8_t Disk::read(std::uint64_t offset, std::span<std::byte> data) noexcept {
    return storage_.read(offset, data) == 0 ? std::uint8_t{0} : ata::error_uncorrectable;
}

std::uint8_t Disk::write(std::uint64_t offset, std::span<const std::byte> data, bool stable) noexcept {
    const Durability durability = stable ? Durability::stable : Durability::cached;
    return storage_.write(offset, data, durability) == 0 ? std::uint8_t{0} : ata::error_aborted;
}

std::uint8_t Disk::flush() noexcept {
    return storage_.flush() == 0 ? std::uint8_t{0} : ata::error_aborted;
}

/// Ranges of 8 bytes each: 48 bits address, 16 bits count. All are looked at before the first is carried out.
std::uint8_t Disk::trim(std::span<const std::byte> ranges) noexcept {
    for (const bool checked : {false, true}) {
        for (std::size_t at = 0; at + 8 <= ranges.size(); at += 8) {
            const std::uint64_t range = little_endian(ranges.subspan(at, 8));
            const std::uint64_t first = range & 0xffffffffffff;
            const std::uint64_t count = range >> 48;
            if (count == 0)
                continue;
            if (first >= identity_.sectors || count > identity_.sectors - first)
                return ata::error_id_not_found;
            const std::uint64_t size = identity_.sector_size;
            if (checked && storage_.discard(first * size, count * size) != 0)
                return ata::error_aborted;
        }
    }
    return 0;
}

}  // namespace outboard::sim::ahci
