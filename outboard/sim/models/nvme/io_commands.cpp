#include "outboard/sim/models/nvme/io_commands.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace outboard::sim::nvme {

namespace {

constexpr DmaRights to_write{.readable = false, .writable = true};
constexpr DmaRights to_read{.readable = true, .writable = false};

/// Blocks of a namespace.
struct Extent {
    std::uint64_t first;
    std::uint64_t blocks;
};

Extent extent_of(const SubmissionEntry& command) noexcept {
    return {.first = command.dword10 | std::uint64_t{command.dword11} << 32,
            .blocks = (command.dword12 & 0xffff) + std::uint64_t{1}};
}

bool inside(const Namespace& name_space, std::uint64_t first, std::uint64_t blocks) noexcept {
    return first <= name_space.blocks && blocks <= name_space.blocks - first;
}

StatusCode write_failed(int error) noexcept {
    return error == ENOSPC ? StatusCode::capacity_exceeded : StatusCode::write_fault;
}

}  // namespace

IoCommands::IoCommands(Namespaces& namespaces, const Features& features, Transfer& transfer,
                       HealthCounters& counters)
    : namespaces_(namespaces),
      features_(features),
      transfer_(transfer),
      counters_(counters),
      stored_(transfer.max_bytes()) {}

StatusCode IoCommands::execute(const SubmissionEntry& command) {
    if ((command.flags & (fused_mask | sgl_mask)) != 0)
        return StatusCode::invalid_field;
    const auto opcode = static_cast<IoOpcode>(command.opcode);
    if (opcode == IoOpcode::flush)
        return flush(command);
    Namespace* const name_space = namespaces_.find(command.namespace_id);
    switch (opcode) {
        case IoOpcode::read:
            return name_space != nullptr ? read(*name_space, command) : StatusCode::invalid_namespace;
        case IoOpcode::write:
            return name_space != nullptr ? write(*name_space, command) : StatusCode::invalid_namespace;
        case IoOpcode::compare:
            return name_space != nullptr ? compare(*name_space, command) : StatusCode::invalid_namespace;
        case IoOpcode::write_zeroes:
            return name_space != nullptr ? write_zeroes(*name_space, command) : StatusCode::invalid_namespace;
        case IoOpcode::dataset_management:
            return name_space != nullptr ? deallocate_ranges(*name_space, command)
                                         : StatusCode::invalid_namespace;
        default:
            return StatusCode::invalid_opcode;
    }
}

/// Checks the blocks of a command that moves data and finds its memory.
StatusCode IoCommands::begin(const Namespace& name_space, const SubmissionEntry& command) {
    const Extent extent = extent_of(command);
    if (!inside(name_space, extent.first, extent.blocks))
        return StatusCode::lba_out_of_range;
    const std::uint64_t bytes = extent.blocks << name_space.block_shift;
    if (bytes > transfer_.max_bytes())
        return StatusCode::invalid_field;
    return transfer_.begin(command, bytes);
}

StatusCode IoCommands::read_failed() noexcept {
    ++counters_.media_errors;
    return StatusCode::unrecovered_read_error;
}

Durability IoCommands::durability(const SubmissionEntry& command) const noexcept {
    const bool stable = (command.dword12 & force_unit_access) != 0 || !features_.write_cache();
    return stable ? Durability::stable : Durability::cached;
}

StatusCode IoCommands::flush(const SubmissionEntry& command) {
    if (command.namespace_id == all_namespaces)
        return namespaces_.flush() ? StatusCode::success : StatusCode::write_fault;
    Namespace* const name_space = namespaces_.find(command.namespace_id);
    if (name_space == nullptr)
        return StatusCode::invalid_namespace;
    return name_space->storage.flush() == 0 ? StatusCode::success : StatusCode::write_fault;
}

StatusCode IoCommands::read(Namespace& name_space, const SubmissionEntry& command) {
    const Extent extent = extent_of(command);
    if (const StatusCode status = begin(name_space, command); status != StatusCode::success)
        return status;
    const std::uint64_t bytes = extent.blocks << name_space.block_shift;
    ++counters_.read_commands;
    counters_.units_read += bytes / 512;
    std::uint64_t offset = extent.first << name_space.block_shift;
    const auto windows = transfer_.windows(to_write);
    if (windows.empty()) {
        const auto buffer = transfer_.buffer(bytes);
        if (name_space.storage.read(offset, buffer) != 0)
            return read_failed();
        return transfer_.to_client(buffer);
    }
    // Nothing is kept, so there is nothing to hand over: the memory was checked all the same.
    if (name_space.storage.null())
        return StatusCode::success;
    for (const std::span<std::byte> window : windows) {
        if (name_space.storage.read(offset, window) != 0)
            return read_failed();
        offset += window.size();
    }
    return StatusCode::success;
}

StatusCode IoCommands::write(Namespace& name_space, const SubmissionEntry& command) {
    const Extent extent = extent_of(command);
    if (const StatusCode status = begin(name_space, command); status != StatusCode::success)
        return status;
    const std::uint64_t bytes = extent.blocks << name_space.block_shift;
    ++counters_.write_commands;
    counters_.units_written += bytes / 512;
    std::uint64_t offset = extent.first << name_space.block_shift;
    const auto windows = transfer_.windows(to_read);
    const std::uint64_t block = std::uint64_t{1} << name_space.block_shift;
    if (windows.empty() || !std::ranges::all_of(windows, [&](std::span<std::byte> window) {
            return window.size() % block == 0;
        })) {
        // Blocks that lie in two pieces have to be put together.
        const auto buffer = transfer_.buffer(bytes);
        if (const StatusCode status = transfer_.from_client(buffer); status != StatusCode::success)
            return status;
        const int error = name_space.storage.write(offset, buffer, durability(command));
        return error == 0 ? StatusCode::success : write_failed(error);
    }
    if (name_space.storage.null())
        return StatusCode::success;
    for (const std::span<std::byte> window : windows) {
        if (const int error = name_space.storage.write(offset, window, durability(command)); error != 0)
            return write_failed(error);
        offset += window.size();
    }
    return StatusCode::success;
}

StatusCode IoCommands::compare(Namespace& name_space, const SubmissionEntry& command) {
    const Extent extent = extent_of(command);
    if (const StatusCode status = begin(name_space, command); status != StatusCode::success)
        return status;
    const std::uint64_t bytes = extent.blocks << name_space.block_shift;
    ++counters_.read_commands;
    const auto given = transfer_.buffer(bytes);
    if (const StatusCode status = transfer_.from_client(given); status != StatusCode::success)
        return status;
    const auto stored = std::span(stored_).first(bytes);
    if (name_space.storage.read(extent.first << name_space.block_shift, stored) != 0)
        return read_failed();
    return std::memcmp(given.data(), stored.data(), bytes) == 0 ? StatusCode::success
                                                                : StatusCode::compare_failure;
}

StatusCode IoCommands::write_zeroes(Namespace& name_space, const SubmissionEntry& command) {
    const Extent extent = extent_of(command);
    if (!inside(name_space, extent.first, extent.blocks))
        return StatusCode::lba_out_of_range;
    ++counters_.write_commands;
    const int error = name_space.storage.discard(extent.first << name_space.block_shift,
                                                 extent.blocks << name_space.block_shift);
    return error == 0 ? StatusCode::success : write_failed(error);
}

StatusCode IoCommands::deallocate_ranges(Namespace& name_space, const SubmissionEntry& command) {
    std::array<DatasetRange, max_dataset_ranges> ranges;
    const std::size_t count = (command.dword10 & 0xff) + std::size_t{1};
    const auto data = std::as_writable_bytes(std::span(ranges).first(count));
    if (const StatusCode status = transfer_.begin(command, data.size()); status != StatusCode::success)
        return status;
    if (const StatusCode status = transfer_.from_client(data); status != StatusCode::success)
        return status;
    // Hints about how blocks are used are all that is left without this bit.
    if ((command.dword11 & deallocate) == 0)
        return StatusCode::success;
    for (const DatasetRange& range : std::span(ranges).first(count))
        if (!inside(name_space, range.first, range.blocks))
            return StatusCode::lba_out_of_range;
    for (const DatasetRange& range : std::span(ranges).first(count)) {
        const int error = name_space.storage.discard(range.first << name_space.block_shift,
                                                     std::uint64_t{range.blocks} << name_space.block_shift);
        if (error != 0)
            return write_failed(error);
    }
    return StatusCode::success;
}

}  // namespace outboard::sim::nvme
