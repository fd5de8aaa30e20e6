#include "outboard/backend/vfio/device_file.hpp"

#include "outboard/backend/vfio/info.hpp"
#include "outboard/backend/vfio/ioctl.hpp"
#include "outboard/base/error.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

namespace outboard::vfio {

namespace {

static_assert(static_cast<int>(RegionIndex::bar0) == VFIO_PCI_BAR0_REGION_INDEX);
static_assert(static_cast<int>(RegionIndex::rom) == VFIO_PCI_ROM_REGION_INDEX);
static_assert(static_cast<int>(RegionIndex::config) == VFIO_PCI_CONFIG_REGION_INDEX);
static_assert(static_cast<int>(InterruptKind::intx) == VFIO_PCI_INTX_IRQ_INDEX);
static_assert(static_cast<int>(InterruptKind::msi) == VFIO_PCI_MSI_IRQ_INDEX);
static_assert(static_cast<int>(InterruptKind::msix) == VFIO_PCI_MSIX_IRQ_INDEX);

const char* to_text(InterruptKind kind) noexcept {
    switch (kind) {
        case InterruptKind::intx:
            return "INTx";
        case InterruptKind::msi:
            return "MSI";
        case InterruptKind::msix:
            return "MSI-X";
    }
    return "unknown";
}

/// pread and pwrite of the whole range; 0 or an errno value.
template <class Transfer>
int transfer_all(std::size_t size, Transfer transfer) noexcept {
    std::size_t done = 0;
    while (done < size) {
        const ssize_t count = transfer(done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? errno : EIO;
        done += static_cast<std::size_t>(count);
    }
    return 0;
}

/// Room for vfio_irq_set and what it says of eventfds.
std::vector<std::byte> trigger_order(std::uint32_t index, std::span<const int> eventfds) {
    std::vector<std::byte> bytes(sizeof(vfio_irq_set) + eventfds.size_bytes());
    vfio_irq_set set{};
    set.argsz = static_cast<std::uint32_t>(bytes.size());
    set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    set.index = index;
    set.count = static_cast<std::uint32_t>(eventfds.size());
    std::memcpy(bytes.data(), &set, sizeof set);
    std::memcpy(bytes.data() + sizeof set, eventfds.data(), eventfds.size_bytes());
    return bytes;
}

bool inside(const RegionInfo& info, std::uint64_t offset, std::size_t size) noexcept {
    return offset <= info.size && size <= info.size - offset;
}

}  // namespace

DeviceFile::DeviceFile(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {
    vfio_device_info info{};
    info.argsz = sizeof info;
    if (const int result = call(fd_.get(), VFIO_DEVICE_GET_INFO, &info); result < 0)
        throw_errno(-result, "ask VFIO about", name_);
    if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "open",
                     .subject = name_,
                     .cause = "VFIO says that it is not a PCI device",
                     .remedy = {}});
    resettable_ = (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
    for (unsigned i = 0; i < region_count && i < info.num_regions; ++i)
        regions_[i] = ask_region(static_cast<RegionIndex>(i));
    for (unsigned i = 0; i < interrupts_.size() && i < info.num_irqs; ++i) {
        vfio_irq_info irq{};
        irq.argsz = sizeof irq;
        irq.index = i;
        if (const int result = call(fd_.get(), VFIO_DEVICE_GET_IRQ_INFO, &irq); result < 0)
            throw_errno(-result, "ask VFIO about the interrupts of", name_);
        if ((irq.flags & VFIO_IRQ_INFO_EVENTFD) != 0)
            interrupts_[i] = {.count = irq.count, .maskable = (irq.flags & VFIO_IRQ_INFO_AUTOMASKED) != 0};
    }
}

DeviceFile::~DeviceFile() {
    // The kernel does the same when the descriptor is closed; a copy of it may be held elsewhere. A device
    // that is gone cannot be told anything, so failures have no further consequence.
    if (enabled_)
        static_cast<void>(disable_interrupts(*enabled_));
    static_cast<void>(clear_bus_master());
    for (const auto& [key, mapping] : mappings_)
        ::munmap(mapping.data(), mapping.size());
}

DeviceFile::RegionPlace DeviceFile::ask_region(RegionIndex region) const {
    vfio_region_info question{};
    question.index = std::to_underlying(region);
    std::vector<std::byte> answer;
    const int error = ask(fd_.get(), VFIO_DEVICE_GET_REGION_INFO, question, answer);
    // EINVAL stands for a region that this kind of device does not have.
    if (error == EINVAL)
        return {};
    if (error != 0)
        throw_errno(error, fmt::format("ask VFIO about region {} of", question.index), name_);
    vfio_region_info info{};
    std::memcpy(&info, answer.data(), sizeof info);
    RegionPlace place{.info = {.size = info.size,
                               .readable = (info.flags & VFIO_REGION_INFO_FLAG_READ) != 0,
                               .writable = (info.flags & VFIO_REGION_INFO_FLAG_WRITE) != 0,
                               .mappable = {}},
                      .file_offset = info.offset};
    if ((info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0)
        return place;
    // Without a list of areas the whole region can be mapped. The kernel leaves the page of the MSI-X table
    // out by such a list, unless it says VFIO_REGION_INFO_CAP_MSIX_MAPPABLE and gives none.
    const auto sparse = (info.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0
                            ? find_capability(answer, info.cap_offset, VFIO_REGION_INFO_CAP_SPARSE_MMAP)
                            : std::nullopt;
    if (sparse)
        place.info.mappable = parse_sparse_areas(*sparse, info.size);
    else
        place.info.mappable = {{.offset = 0, .size = info.size}};
    return place;
}

RegionInfo DeviceFile::region_info(RegionIndex region) const {
    return place(region).info;
}

int DeviceFile::read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept {
    const RegionPlace& where = place(region);
    if (!inside(where.info, offset, data.size()))
        return EINVAL;
    return transfer_all(data.size(), [&](std::size_t done) {
        return ::pread(fd_.get(), data.data() + done, data.size() - done,
                       static_cast<off_t>(where.file_offset + offset + done));
    });
}

int DeviceFile::write_region(RegionIndex region, std::uint64_t offset,
                             std::span<const std::byte> data) noexcept {
    const RegionPlace& where = place(region);
    if (!inside(where.info, offset, data.size()))
        return EINVAL;
    return transfer_all(data.size(), [&](std::size_t done) {
        return ::pwrite(fd_.get(), data.data() + done, data.size() - done,
                        static_cast<off_t>(where.file_offset + offset + done));
    });
}

int DeviceFile::write_run(RegionIndex region, std::uint64_t offset, std::span<const std::byte> data,
                          std::size_t width) noexcept {
    const RegionPlace& where = place(region);
    if (!inside(where.info, offset, data.size()))
        return EINVAL;
    // VFIO has no vectored write of its own: the kernel makes one device access of each vector, in one system
    // call.
    std::array<iovec, 16> accesses;
    while (!data.empty()) {
        std::size_t count = 0;
        std::size_t bytes = 0;
        for (; count < accesses.size() && bytes < data.size(); ++count, bytes += width)
            accesses[count] = {.iov_base = const_cast<std::byte*>(data.data() + bytes), .iov_len = width};
        const ssize_t written = ::pwritev(fd_.get(), accesses.data(), static_cast<int>(count),
                                          static_cast<off_t>(where.file_offset + offset));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0 || static_cast<std::size_t>(written) % width != 0)
            return written < 0 ? errno : EIO;
        data = data.subspan(static_cast<std::size_t>(written));
        offset += static_cast<std::size_t>(written);
    }
    return 0;
}

std::span<std::byte> DeviceFile::map_region(RegionIndex region, const MappableArea& area) {
    const RegionPlace& where = place(region);
    const auto key = std::pair(region, area.offset);
    if (const auto known = mappings_.find(key); known != mappings_.end() && known->second.size() == area.size)
        return known->second;
    const int protection = (where.info.readable ? PROT_READ : 0) | (where.info.writable ? PROT_WRITE : 0);
    void* address = ::mmap(nullptr, area.size, protection, MAP_SHARED, fd_.get(),
                           static_cast<off_t>(where.file_offset + area.offset));
    if (address == MAP_FAILED)
        throw_errno(errno,
                    fmt::format("map {} bytes at {:#x} of region {} of", area.size, area.offset,
                                std::to_underlying(region)),
                    name_);
    const std::span mapping(static_cast<std::byte*>(address), area.size);
    mappings_.emplace(key, mapping);
    return mapping;
}

InterruptInfo DeviceFile::interrupt_info(InterruptKind kind) const {
    return interrupts_[static_cast<std::size_t>(std::to_underlying(kind))];
}

void DeviceFile::set_interrupts(InterruptKind kind, std::span<const int> eventfds) {
    if (eventfds.empty()) {
        if (enabled_ == kind)
            if (const int error = disable_interrupts(kind); error != 0)
                throw_errno(error, fmt::format("disable {} of", to_text(kind)), name_);
        return;
    }
    if (enabled_ && enabled_ != kind)
        throw Error({.kind = ErrorKind::failed,
                     .action = fmt::format("enable {} of", to_text(kind)),
                     .subject = name_,
                     .cause = fmt::format("its {} interrupts are enabled", to_text(*enabled_)),
                     .remedy = "disable them first"});
    std::vector<std::byte> bytes = trigger_order(static_cast<std::uint32_t>(kind), eventfds);
    const int result = call(fd_.get(), VFIO_DEVICE_SET_IRQS, bytes.data());
    // A positive result is the number of vectors the machine has left, and none was enabled.
    if (result > 0)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = fmt::format("enable {} {} vectors of", eventfds.size(), to_text(kind)),
                     .subject = name_,
                     .cause = fmt::format("the machine can give only {}", result),
                     .remedy = "use fewer"});
    if (result < 0)
        throw_errno(-result, fmt::format("enable {} {} vectors of", eventfds.size(), to_text(kind)), name_);
    enabled_ = kind;
}

int DeviceFile::quiet() noexcept {
    const int error = clear_bus_master();
    // The kernel refuses this for a kind that is not enabled.
    for (const InterruptKind kind : {InterruptKind::intx, InterruptKind::msi, InterruptKind::msix})
        static_cast<void>(disable_interrupts(kind));
    return error;
}

int DeviceFile::disable_interrupts(InterruptKind kind) noexcept {
    vfio_irq_set set{};
    set.argsz = sizeof set;
    set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
    set.index = static_cast<std::uint32_t>(kind);
    if (enabled_ == kind)
        enabled_.reset();
    return -call(fd_.get(), VFIO_DEVICE_SET_IRQS, &set);
}

int DeviceFile::switch_intx(std::uint32_t action) noexcept {
    vfio_irq_set set{};
    set.argsz = sizeof set;
    set.flags = VFIO_IRQ_SET_DATA_NONE | action;
    set.index = VFIO_PCI_INTX_IRQ_INDEX;
    set.count = 1;
    return -call(fd_.get(), VFIO_DEVICE_SET_IRQS, &set);
}

int DeviceFile::clear_bus_master() noexcept {
    std::uint16_t command = 0;
    if (const int error =
            read_region(RegionIndex::config, PCI_COMMAND, std::as_writable_bytes(std::span(&command, 1)));
        error != 0)
        return error;
    command = static_cast<std::uint16_t>(command & ~PCI_COMMAND_MASTER);
    return write_region(RegionIndex::config, PCI_COMMAND, std::as_bytes(std::span(&command, 1)));
}

bool DeviceFile::set_notice(Notice notice, int eventfd) {
    const std::uint32_t index = notice == Notice::error ? VFIO_PCI_ERR_IRQ_INDEX : VFIO_PCI_REQ_IRQ_INDEX;
    vfio_irq_info info{};
    info.argsz = sizeof info;
    info.index = index;
    // The kernel refuses the question where there is no such notice: errors are those of PCI Express.
    if (call(fd_.get(), VFIO_DEVICE_GET_IRQ_INFO, &info) < 0 || info.count == 0)
        return false;
    std::vector<std::byte> bytes = trigger_order(index, std::span(&eventfd, 1));
    if (const int result = call(fd_.get(), VFIO_DEVICE_SET_IRQS, bytes.data()); result < 0)
        throw_errno(-result,
                    notice == Notice::error ? "follow the errors of" : "follow the release requests for",
                    name_);
    return true;
}

bool DeviceFile::present() noexcept {
    // Revision and class are the device's own; vfio-pci answers for its vendor where it is a virtual
    // function.
    std::uint32_t class_and_revision = 0;
    const int error = read_region(RegionIndex::config, PCI_CLASS_REVISION,
                                  std::as_writable_bytes(std::span(&class_and_revision, 1)));
    return error == 0 && class_and_revision != 0xffffffff;
}

void DeviceFile::reset() {
    if (!resettable_)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "reset",
                     .subject = name_,
                     .cause = "the kernel knows no way to reset this device",
                     .remedy = "reset it by its own registers"});
    if (const int result = call(fd_.get(), VFIO_DEVICE_RESET, 0); result < 0)
        throw_errno(-result, "reset", name_);
}

}  // namespace outboard::vfio
