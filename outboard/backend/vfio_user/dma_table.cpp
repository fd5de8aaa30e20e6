#include "outboard/backend/vfio_user/dma_table.hpp"

#include "outboard/backend/vfio_user/version.hpp"
#include "outboard/base/bytes.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <new>

namespace outboard::vfio_user {

bool DmaTable::is_free(std::uint64_t iova, std::uint64_t size) const {
    const std::lock_guard lock(mutex_);
    if (size == 0 || iova + (size - 1) < iova)
        return false;
    const auto above = mappings_.upper_bound(iova + (size - 1));
    if (above == mappings_.begin())
        return true;
    const auto& [start, mapping] = *std::prev(above);
    return start + (mapping.memory.size() - 1) < iova;
}

void DmaTable::add(std::uint64_t iova, std::span<std::byte> memory, DmaAccess access) {
    const std::lock_guard lock(mutex_);
    mappings_.emplace(iova, Mapping{.memory = memory, .access = access});
}

bool DmaTable::remove(std::uint64_t iova, std::uint64_t size) {
    const std::lock_guard lock(mutex_);
    const auto found = mappings_.find(iova);
    if (found == mappings_.end() || found->second.memory.size() != size)
        return false;
    mappings_.erase(found);
    return true;
}

bool DmaTable::contains(std::uint64_t iova, std::uint64_t size) const {
    const std::lock_guard lock(mutex_);
    const auto found = mappings_.find(iova);
    return found != mappings_.end() && found->second.memory.size() == size;
}

std::size_t DmaTable::size() const {
    const std::lock_guard lock(mutex_);
    return mappings_.size();
}

std::vector<DmaTable::Range> DmaTable::ranges() const {
    const std::lock_guard lock(mutex_);
    std::vector<Range> ranges;
    for (const auto& [iova, mapping] : mappings_)
        ranges.push_back({.iova = iova, .size = mapping.memory.size()});
    return ranges;
}

/// The memory at [address, address + count), which may lie in mappings side by side. 0 or an errno value.
int DmaTable::find(std::uint64_t address, std::uint64_t count, DmaAccess access, Pieces& pieces) const {
    while (count > 0) {
        const auto above = mappings_.upper_bound(address);
        if (above == mappings_.begin())
            return EFAULT;
        const auto& [start, mapping] = *std::prev(above);
        const std::uint64_t skipped = address - start;
        if (skipped >= mapping.memory.size())
            return EFAULT;
        if (mapping.access != DmaAccess::read_write && mapping.access != access)
            return EACCES;
        const std::uint64_t size = std::min<std::uint64_t>(count, mapping.memory.size() - skipped);
        pieces.push_back(mapping.memory.subspan(skipped, size));
        address += size;
        count -= size;
    }
    return 0;
}

/// Does a command with the mutex held. `access` becomes what it asked for, `data` what is to be sent.
int DmaTable::execute(const Message& message, DmaAccessMessage& access, Pieces& data) {
    const bool reads = message.command() == Command::dma_read;
    if (!reads && message.command() != Command::dma_write)
        return ENOSYS;
    const auto asked = read_at<DmaAccessMessage>(message.body, 0);
    if (!asked || asked->count > client_max_transfer_bytes)
        return EINVAL;
    const std::span<const std::byte> sent = message.body.subspan(sizeof(DmaAccessMessage));
    if (sent.size() != (reads ? 0 : asked->count))
        return EINVAL;
    access = *asked;
    Pieces pieces;
    // A device that writes memory needs a mapping that it may write to.
    if (const int error =
            find(access.address, access.count, reads ? DmaAccess::read : DmaAccess::write, pieces);
        error != 0)
        return error;
    if (reads) {
        data = std::move(pieces);
        return 0;
    }
    std::size_t done = 0;
    for (const std::span<std::byte> piece : pieces) {
        std::memcpy(piece.data(), sent.data() + done, piece.size());
        done += piece.size();
    }
    return 0;
}

int DmaTable::serve(MessageSocket& socket, const Message& message, TimePoint deadline) noexcept {
    const std::lock_guard lock(mutex_);
    DmaAccessMessage access{};
    Pieces data;
    std::vector<std::byte> joined;
    int error = 0;
    try {
        error = execute(message, access, data);
        if (data.size() > 1)
            for (const std::span<std::byte> piece : data)
                joined.insert(joined.end(), piece.begin(), piece.end());
    } catch (const std::bad_alloc&) {
        error = ENOMEM;
    }
    if (message.no_reply())
        return 0;
    Header answer = message.header;
    answer.flags = header_flag::type_reply | (error != 0 ? header_flag::error : 0);
    answer.error = static_cast<std::uint32_t>(error);
    if (error != 0)
        return socket.send(answer, {}, {}, deadline);
    const std::span<const std::byte> bytes = data.size() == 1 ? data.front() : std::span(joined);
    return socket.send(answer, {bytes_of(access), bytes}, {}, deadline);
}

}  // namespace outboard::vfio_user
