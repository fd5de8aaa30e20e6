#include "outboard/sim/request_handler.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/sim/region_access.hpp"
#include "outboard/sim/set_interrupts.hpp"

#include <array>
#include <cerrno>
#include <exception>
#include <new>
#include <utility>

namespace outboard::sim {

namespace {

using namespace vfio_user;

constexpr Reply failed(int error) noexcept {
    return {.error = error, .body = {}, .descriptor = -1};
}

}  // namespace

template <class T>
void RequestHandler::append(const T& value) {
    const auto bytes = bytes_of(value);
    body_.insert(body_.end(), bytes.begin(), bytes.end());
}

template <class T>
Reply RequestHandler::reply_with(const T& value) {
    append(value);
    return {.error = 0, .body = body_, .descriptor = -1};
}

Reply RequestHandler::handle(Message& request) noexcept {
    body_.clear();
    try {
        return answer(request);
    } catch (const std::bad_alloc&) {
        return failed(ENOMEM);
    } catch (const std::exception&) {
        return failed(EIO);  // the model's
    }
}

Reply RequestHandler::answer(Message& request) {
    const Command command = request.command();
    if (command == Command::version)
        return version(request.body);
    if (!agreed_)
        return failed(EINVAL);
    if (request.descriptors.size() > max_message_descriptors)
        return failed(EINVAL);
    if (command == Command::dma_map)
        return dma_map(request);
    if (command == Command::set_interrupts)
        return set_interrupts(request);
    if (!request.descriptors.empty())
        return failed(EINVAL);
    switch (command) {
        case Command::region_read:
            return region_read(request.body);
        case Command::region_write:
            return region_write(request.body);
        case Command::region_write_multi:
            return region_write_multi(request.body);
        case Command::dma_unmap:
            return dma_unmap(request.body);
        case Command::device_info:
            return device_info(request.body);
        case Command::region_info:
            return region_info(request.body);
        case Command::interrupt_info:
            return interrupt_info(request.body);
        case Command::device_reset:
            return model_.reset_device() ? Reply{} : failed(EIO);
        default:
            // Features and descriptors for regions are optional, the rest is not for a server.
            return failed(EOPNOTSUPP);
    }
}

Reply RequestHandler::version(std::span<const std::byte> body) {
    if (agreed_)
        return failed(EINVAL);
    const Agreement agreement = negotiate(body);
    if (agreement.error != 0) {
        refused_ = true;
        return failed(agreement.error);
    }
    agreed_ = true;
    client_ = agreement.client;
    append(agreement.version);
    const auto text = std::as_bytes(std::span(agreement.capabilities));
    body_.insert(body_.end(), text.begin(), text.end());
    return {.error = 0, .body = body_, .descriptor = -1};
}

// ---- memory ----

Reply RequestHandler::dma_map(Message& request) {
    const auto map = read_at<DmaMap>(request.body, 0);
    if (!map || map->argument_size < sizeof(DmaMap) || request.descriptors.size() > 1 ||
        (map->flags & ~(dma_flag::readable | dma_flag::writable)) != 0)
        return failed(EINVAL);
    Fd file = request.descriptors.empty() ? Fd() : std::move(request.descriptors.front());
    return failed(model_.dma().begin_adding(map->address, map->size,
                                            {.readable = (map->flags & dma_flag::readable) != 0,
                                             .writable = (map->flags & dma_flag::writable) != 0},
                                            std::move(file), map->offset));
}

Reply RequestHandler::dma_unmap(std::span<const std::byte> body) {
    const auto unmap = read_at<DmaUnmap>(body, 0);
    if (!unmap || unmap->argument_size < sizeof(DmaUnmap))
        return failed(EINVAL);
    if (unmap->flags == unmap_flag::all) {
        if (unmap->address != 0 || unmap->size != 0)
            return failed(EINVAL);
        model_.dma().clear();
    } else if (unmap->flags != 0) {
        return failed((unmap->flags & unmap_flag::dirty_bitmap) != 0 ? EOPNOTSUPP : EINVAL);
    } else if (const int error = model_.dma().remove(unmap->address, unmap->size); error != 0) {
        return failed(error);
    }
    return reply_with(*unmap);
}

// ---- what the device has ----

Reply RequestHandler::device_info(std::span<const std::byte> body) {
    const auto asked = read_at<DeviceInfo>(body, 0);
    if (!asked || asked->argument_size < sizeof(DeviceInfo))
        return failed(EINVAL);
    return reply_with(DeviceInfo{.argument_size = sizeof(DeviceInfo),
                                 .flags = device_flag::reset | device_flag::pci,
                                 .regions = region_count(model_),
                                 .interrupts = interrupt_index::count});
}

Reply RequestHandler::region_info(std::span<const std::byte> body) {
    const auto asked = read_at<RegionInfo>(body, 0);
    if (!asked || asked->argument_size < sizeof(RegionInfo) || asked->index >= region_count(model_))
        return failed(EINVAL);
    RegionInfo info{.argument_size = sizeof(RegionInfo),
                    .flags = 0,
                    .index = asked->index,
                    .capability_offset = 0,
                    .size = region_size(model_, asked->index),
                    .offset = 0};
    if (info.size > 0)
        info.flags = region_flag::readable | region_flag::writable;
    if (asked->index == fault_port_region)
        return fault_port_info(info, *asked);
    const int file = share_memory_ && asked->index < bar_count ? model_.shared_fd(asked->index) : -1;
    if (file < 0 || client_.message_descriptors == 0)
        return reply_with(info);

    info.flags |= region_flag::mappable;
    const auto& areas = model_.description().bars[asked->index].shared;
    const bool whole = areas.size() == 1 && areas.front().size == info.size;
    if (!whole) {
        info.flags |= region_flag::capabilities;
        info.capability_offset = sizeof(RegionInfo);
        info.argument_size +=
            static_cast<std::uint32_t>(sizeof(SparseMmap) + areas.size() * sizeof(SparseArea));
    }
    if (whole || asked->argument_size < info.argument_size) {
        // A client with too little room learns how much it takes, and asks again. QEMU's insists on an offset
        // even then.
        append(info);
    } else {
        append(info);
        append(SparseMmap{.header = {.id = sparse_mmap_capability, .version = 1, .next = 0},
                          .areas = static_cast<std::uint32_t>(areas.size()),
                          .reserved = 0});
        for (const SharedArea& area : areas)
            append(SparseArea{.offset = area.offset, .size = area.size});
    }
    return {.error = 0, .body = body_, .descriptor = file};
}

/// A region that PCI does not know says of what type it is.
Reply RequestHandler::fault_port_info(RegionInfo info, const RegionInfo& asked) {
    constexpr std::uint32_t of_vendor = 1U << 31;
    info.flags |= region_flag::capabilities;
    info.capability_offset = sizeof(RegionInfo);
    info.argument_size += sizeof(RegionType);
    append(info);
    if (asked.argument_size >= info.argument_size)
        append(RegionType{.header = {.id = region_type_capability, .version = 1, .next = 0},
                          .type = of_vendor | model_.description().vendor,
                          .subtype = 1});
    return {.error = 0, .body = body_, .descriptor = -1};
}

Reply RequestHandler::interrupt_info(std::span<const std::byte> body) {
    const auto asked = read_at<InterruptInfo>(body, 0);
    if (!asked || asked->argument_size < sizeof(InterruptInfo) || asked->index >= interrupt_index::count)
        return failed(EINVAL);
    InterruptInfo info{.argument_size = sizeof(InterruptInfo), .flags = 0, .index = asked->index, .count = 0};
    if (asked->index < irq_kinds) {
        info.count = model_.interrupts().count(static_cast<IrqKind>(asked->index));
        info.flags = interrupt_flag::eventfd | interrupt_flag::maskable;
        if (asked->index == interrupt_index::intx)
            info.flags |= interrupt_flag::automasked;
    }
    return reply_with(info);
}

Reply RequestHandler::set_interrupts(Message& request) {
    return failed(sim::set_interrupts(model_.interrupts(), request.body, request.descriptors));
}

// ---- regions ----

Reply RequestHandler::region_read(std::span<const std::byte> body) {
    const auto access = read_at<RegionAccess>(body, 0);
    if (!access || access->count == 0 || access->count > max_transfer_bytes)
        return failed(EINVAL);
    append(*access);
    body_.resize(sizeof(RegionAccess) + access->count);
    const int error =
        read_region(model_, access->region, access->offset, std::span(body_).subspan(sizeof(RegionAccess)));
    return {.error = error, .body = body_, .descriptor = -1};
}

Reply RequestHandler::region_write(std::span<const std::byte> body) {
    const auto access = read_at<RegionAccess>(body, 0);
    if (!access || access->count > max_transfer_bytes || body.size() - sizeof(RegionAccess) != access->count)
        return failed(EINVAL);
    // Kept here: the model's DMA may bring further messages, and the buffer of this one goes with the next.
    body_.assign(body.begin(), body.end());
    const int error =
        write_region(model_, access->region, access->offset, std::span(body_).subspan(sizeof(RegionAccess)));
    return {.error = error, .body = std::span(body_).first(sizeof(RegionAccess)), .descriptor = -1};
}

Reply RequestHandler::region_write_multi(std::span<const std::byte> body) {
    const auto head = read_at<WriteMulti>(body, 0);
    if (!head || (body.size() - sizeof(WriteMulti)) % sizeof(WriteMultiEntry) != 0 ||
        (body.size() - sizeof(WriteMulti)) / sizeof(WriteMultiEntry) != head->writes)
        return failed(EINVAL);
    const std::vector<std::byte> entries(body.begin() + sizeof(WriteMulti), body.end());
    WriteMulti done{.writes = 0};
    for (; done.writes < head->writes; ++done.writes) {
        const auto entry = read_at<WriteMultiEntry>(entries, done.writes * sizeof(WriteMultiEntry));
        if (entry->count > sizeof entry->data ||
            write_region(model_, entry->region, entry->offset,
                         std::as_bytes(std::span(entry->data)).first(entry->count)) != 0)
            break;  // the reply says how many were done
    }
    return reply_with(done);
}

}  // namespace outboard::sim
