#include "outboard/backend/vfio_user/vfio_user_backend.hpp"

#include "outboard/backend/vfio_user/connect.hpp"
#include "outboard/base/bytes.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <sys/mman.h>

namespace outboard::vfio_user {

namespace {

/// Room in the first question about a region: some hundred areas.
constexpr std::uint32_t usual_info_bytes = 4096;
/// It has fixed addresses, and nothing here wants them.
constexpr unsigned vga_region = 8;
/// Register accesses in one region_write_multi.
constexpr std::size_t most_writes = 64;

bool inside(const outboard::RegionInfo& info, std::uint64_t offset, std::size_t size) noexcept {
    return offset <= info.size && size <= info.size - offset;
}

template <class T>
std::span<std::byte> writable_bytes_of(T& value) noexcept {
    return std::as_writable_bytes(std::span(&value, 1));
}

[[noreturn]] void throw_problem(const std::string& name, const std::string& problem) {
    throw Error({.kind = ErrorKind::unsupported,
                 .action = "open",
                 .subject = name,
                 .cause = fmt::format("the server's word cannot be relied on: {}", problem),
                 .remedy = {}});
}

}  // namespace

std::unique_ptr<VfioUserBackend> VfioUserBackend::open(const std::string& path,
                                                       const ClientOptions& options) {
    std::string name = std::string(DeviceName::vfio_user_prefix) + path;
    Fd socket = connect_to(path, name, options.reply_limit);
    return open_on(std::move(socket), std::move(name), options);
}

std::unique_ptr<VfioUserBackend> VfioUserBackend::open_on(Fd socket, std::string name,
                                                          const ClientOptions& options) {
    return std::unique_ptr<VfioUserBackend>(new VfioUserBackend(std::move(socket), std::move(name), options));
}

VfioUserBackend::VfioUserBackend(Fd socket, std::string device_name, const ClientOptions& options)
    : options_(options), connection_(std::move(socket), std::move(device_name), options.reply_limit) {
    DeviceInfo question{};
    question.argument_size = sizeof question;
    Answer answer;
    if (const int error = connection_.ask({.command = Command::device_info, .parts = {bytes_of(question)}},
                                          answer, options_.reply_limit);
        error != 0)
        connection_.throw_failure(error, "ask about the device", {});
    const auto device = parse_device_info(answer.body);
    if (!device)
        throw_problem(name(), device.error());
    resettable_ = device->resettable;
    for (unsigned i = 0; i < region_count && i < device->regions; ++i)
        if (i != vga_region)
            places_[i] = ask_region(static_cast<RegionIndex>(i));
    if (place(RegionIndex::config).info.size < PCI_STD_HEADER_SIZEOF)
        throw_problem(name(), "its device has no configuration space");
    for (unsigned i = 0; i < interrupts_.size() && i < device->interrupts; ++i)
        interrupts_[i] = ask_interrupts(static_cast<InterruptKind>(i));
}

VfioUserBackend::~VfioUserBackend() {
    // A server that is gone cannot be told anything, so failures have no further consequence.
    static_cast<void>(disable_interrupts());
    static_cast<void>(clear_bus_master());
    for (const auto& [iova, size] : connection_.dma().ranges())
        static_cast<void>(release_dma(iova, size));
}

// ---- regions ----

VfioUserBackend::Place VfioUserBackend::ask_region(RegionIndex region) {
    const auto index = static_cast<std::uint32_t>(std::to_underlying(region));
    vfio_user::RegionInfo question{};
    question.argument_size = usual_info_bytes;
    question.index = index;
    for (bool again = false;; again = true) {
        Answer answer;
        const int error = connection_.ask({.command = Command::region_info, .parts = {bytes_of(question)}},
                                          answer, options_.reply_limit);
        // A region that this kind of device does not have.
        if (error == EINVAL && region != RegionIndex::config)
            return {};
        if (error != 0)
            connection_.throw_failure(error, fmt::format("ask about region {} of", index));
        auto parsed = parse_region_info(answer.body, index, answer.descriptors.size());
        if (!parsed)
            throw_problem(name(), parsed.error());
        if (parsed->needed != 0) {
            if (again)
                throw_problem(name(), "its answer about a region is longer each time");
            question.argument_size = parsed->needed;
            continue;
        }
        Place found{.info = parsed->info, .mapped = {}};
        const int protection = (found.info.readable ? PROT_READ : 0) | (found.info.writable ? PROT_WRITE : 0);
        for (const RegionFile& file : parsed->files) {
            // What cannot be mapped is reached by messages, which every server has to take.
            GuardedMapping mapping;
            if (mapping.map(answer.descriptors[file.descriptor].get(), file.offset, file.area.size,
                            protection) != 0)
                continue;
            found.mapped.push_back(std::move(mapping));
            found.info.mappable.push_back(file.area);
        }
        return found;
    }
}

int VfioUserBackend::read_region(RegionIndex region, std::uint64_t offset,
                                 std::span<std::byte> data) noexcept {
    if (!inside(place(region).info, offset, data.size()))
        return EINVAL;
    while (!data.empty()) {
        const std::size_t size = std::min<std::size_t>(data.size(), server().max_transfer_bytes);
        const RegionAccess access{.offset = offset,
                                  .region = static_cast<std::uint32_t>(std::to_underlying(region)),
                                  .count = static_cast<std::uint32_t>(size)};
        RegionAccess done{};
        if (const int error =
                connection_.exchange({.command = Command::region_read, .parts = {bytes_of(access)}},
                                     writable_bytes_of(done), data.first(size), options_.reply_limit);
            error != 0)
            return error;
        if (done.offset != access.offset || done.region != access.region || done.count != access.count)
            return EPROTO;
        data = data.subspan(size);
        offset += size;
    }
    return 0;
}

int VfioUserBackend::write_region(RegionIndex region, std::uint64_t offset,
                                  std::span<const std::byte> data) noexcept {
    if (!inside(place(region).info, offset, data.size()))
        return EINVAL;
    while (!data.empty()) {
        const std::size_t size = std::min<std::size_t>(data.size(), server().max_transfer_bytes);
        const RegionAccess access{.offset = offset,
                                  .region = static_cast<std::uint32_t>(std::to_underlying(region)),
                                  .count = static_cast<std::uint32_t>(size)};
        RegionAccess done{};
        if (const int error = connection_.exchange(
                {.command = Command::region_write, .parts = {bytes_of(access), data.first(size)}},
                writable_bytes_of(done), {}, options_.reply_limit);
            error != 0)
            return error;
        if (done.offset != access.offset || done.region != access.region || done.count != access.count)
            return EPROTO;
        data = data.subspan(size);
        offset += size;
    }
    return 0;
}

int VfioUserBackend::write_run(RegionIndex region, std::uint64_t offset, std::span<const std::byte> data,
                               std::size_t width) noexcept {
    if (server().write_multi && data.size() > width)
        return write_multi(region, offset, data, width);
    return Backend::write_run(region, offset, data, width);
}

int VfioUserBackend::write_multi(RegionIndex region, std::uint64_t offset, std::span<const std::byte> data,
                                 std::size_t width) noexcept {
    if (!inside(place(region).info, offset, data.size()))
        return EINVAL;
    std::array<WriteMultiEntry, most_writes> entries;
    while (!data.empty()) {
        std::size_t count = 0;
        for (; count < entries.size() && !data.empty();
             ++count, offset += width, data = data.subspan(width)) {
            entries[count] = {.offset = offset,
                              .region = static_cast<std::uint32_t>(std::to_underlying(region)),
                              .count = static_cast<std::uint32_t>(width),
                              .data = {}};
            std::ranges::copy(data.first(width),
                              std::as_writable_bytes(std::span(entries[count].data)).begin());
        }
        const WriteMulti writes{.writes = count};
        WriteMulti done{};
        if (const int error = connection_.exchange(
                {.command = Command::region_write_multi,
                 .parts = {bytes_of(writes), std::as_bytes(std::span(entries).first(count))}},
                writable_bytes_of(done), {}, options_.reply_limit);
            error != 0)
            return error;
        if (done.writes != count)
            return EIO;
    }
    return 0;
}

std::span<std::byte> VfioUserBackend::map_region(RegionIndex region, const MappableArea& area) {
    const Place& where = place(region);
    for (std::size_t i = 0; i < where.mapped.size(); ++i)
        if (where.info.mappable[i].offset == area.offset && where.info.mappable[i].size == area.size)
            return where.mapped[i].bytes();
    throw Error({.kind = ErrorKind::unsupported,
                 .action = fmt::format("map {} bytes at {:#x} of region {} of", area.size, area.offset,
                                       std::to_underlying(region)),
                 .subject = name(),
                 .cause = "the server does not share this area",
                 .remedy = "read and write it by calls"});
}

int VfioUserBackend::clear_bus_master() noexcept {
    std::uint16_t command = 0;
    if (const int error = read_region(RegionIndex::config, PCI_COMMAND, writable_bytes_of(command));
        error != 0)
        return error;
    command = static_cast<std::uint16_t>(command & ~PCI_COMMAND_MASTER);
    return write_region(RegionIndex::config, PCI_COMMAND, bytes_of(command));
}

void VfioUserBackend::reset() {
    if (!resettable_)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "reset",
                     .subject = name(),
                     .cause = "the server says that it cannot",
                     .remedy = "reset it by its own registers"});
    Answer answer;
    if (const int error =
            connection_.ask({.command = Command::device_reset, .parts = {}}, answer, options_.reset_limit);
        error != 0)
        connection_.throw_failure(error, "reset");
}

// ---- DMA ----

std::vector<IovaRange> VfioUserBackend::iova_ranges() const {
    // There is no IOMMU whose windows could be told; addresses of 48 bits fit every device that has 64.
    return {{.first = 0, .last = (std::uint64_t{1} << 48) - 1}};
}

void VfioUserBackend::map_dma(const DmaMapping& mapping) {
    const std::uint64_t size = mapping.memory.size();
    const auto action = [&] { return fmt::format("map {} bytes at IOVA {:#x} for", size, mapping.iova); };
    DmaTable& table = connection_.dma();
    const auto refuse = [&](std::string cause, std::string remedy) {
        throw Error({.kind = ErrorKind::failed,
                     .action = action(),
                     .subject = name(),
                     .cause = std::move(cause),
                     .remedy = std::move(remedy)});
    };
    if (mapping.iova % dma_page_size() != 0 || size % dma_page_size() != 0)
        refuse(fmt::format("it is not a whole number of pages of {} bytes", dma_page_size()), {});
    if (!table.is_free(mapping.iova, size))
        refuse("something is mapped there already", {});
    if (table.size() >= server().max_dma_maps)
        refuse(fmt::format("the server takes {} mappings at the same time", server().max_dma_maps),
               "register fewer, larger pieces of memory");
    const bool shared = mapping.fd >= 0 && server().max_descriptors > 0;
    const DmaMap request{.argument_size = sizeof(DmaMap),
                         .flags = (mapping.access != DmaAccess::write ? dma_flag::readable : 0) |
                                  (mapping.access != DmaAccess::read ? dma_flag::writable : 0),
                         .offset = shared ? mapping.offset : 0,
                         .address = mapping.iova,
                         .size = size};
    // Before the server may ask for it.
    table.add(mapping.iova, mapping.memory, mapping.access);
    const int error = connection_.exchange({.command = Command::dma_map,
                                            .parts = {bytes_of(request)},
                                            .descriptors = std::span(&mapping.fd, shared ? 1 : 0)},
                                           {}, {}, options_.reply_limit);
    if (error == 0)
        return;
    table.remove(mapping.iova, size);
    connection_.throw_failure(
        error, action(),
        shared ? ""
               : "the server may want memory that it can map: use buffers of the arena, which is a file");
}

void VfioUserBackend::unmap_dma(std::uint64_t iova, std::uint64_t size) {
    if (release_dma(iova, size) == EINVAL)
        throw Error({.kind = ErrorKind::failed,
                     .action = fmt::format("unmap {} bytes at IOVA {:#x} of", size, iova),
                     .subject = name(),
                     .cause = "this is not what was mapped there",
                     .remedy = {}});
}

/// EINVAL when it is not mapped; otherwise 0, since nothing of this process is within the server's reach
/// afterwards.
int VfioUserBackend::release_dma(std::uint64_t iova, std::uint64_t size) noexcept {
    const DmaUnmap request{.argument_size = sizeof(DmaUnmap), .flags = 0, .address = iova, .size = size};
    if (!connection_.dma().contains(iova, size))
        return EINVAL;
    DmaUnmap done{};
    static_cast<void>(connection_.exchange({.command = Command::dma_unmap, .parts = {bytes_of(request)}},
                                           writable_bytes_of(done), {}, options_.reply_limit));
    connection_.dma().remove(iova, size);
    return 0;
}

}  // namespace outboard::vfio_user
