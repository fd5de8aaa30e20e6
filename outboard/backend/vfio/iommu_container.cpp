#include "outboard/backend/vfio/iommu_container.hpp"

#include "outboard/backend/vfio/info.hpp"
#include "outboard/backend/vfio/ioctl.hpp"
#include "outboard/backend/vfio/memory_lock.hpp"
#include "outboard/base/error.hpp"

#include <bit>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>

namespace outboard::vfio {

namespace {

constexpr const char* container_path = "/dev/vfio/vfio";

Fd open_container(const std::string& name) {
    Fd fd(::open(container_path, O_RDWR | O_CLOEXEC));
    if (fd)
        return fd;
    const int error = errno;
    if (error == ENOENT || error == ENODEV || error == ENXIO)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "open VFIO for",
                     .subject = name,
                     .cause = fmt::format("there is no {}: the VFIO modules are not loaded", container_path),
                     .remedy = "run `modprobe vfio-pci` as root"});
    throw Error(
        {.kind = errno_kind(error),
         .action = "open VFIO for",
         .subject = name,
         .cause = fmt::format("{}: {}", container_path, errno_text(error)),
         .remedy = fmt::format("every user may open it by default: `chmod 666 {}` as root", container_path)});
}

}  // namespace

IommuContainer::IommuContainer(std::string name) : name_(std::move(name)), fd_(open_container(name_)) {
    if (const int version = call(fd_.get(), VFIO_GET_API_VERSION, 0); version != VFIO_API_VERSION)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "open VFIO for",
                     .subject = name_,
                     .cause = fmt::format("this kernel speaks version {} of its interface, not {}", version,
                                          VFIO_API_VERSION),
                     .remedy = {}});
    if (call(fd_.get(), VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "open VFIO for",
                     .subject = name_,
                     .cause = "the module vfio_iommu_type1 is not loaded",
                     .remedy = "run `modprobe vfio_iommu_type1` as root"});
}

IommuContainer::IommuContainer(std::string name, Fd container, Fd group, IovaRange mapped)
    : name_(std::move(name)), fd_(std::move(container)), group_(std::move(group)), inherited_(mapped) {
    ask_iommu();
}

void IommuContainer::take_group(Fd group) {
    const int container = fd_.get();
    if (const int result = call(group.get(), VFIO_GROUP_SET_CONTAINER, &container); result < 0)
        throw_errno(-result, "put into a VFIO container the group of", name_);
    group_ = std::move(group);
    set_iommu();
}

void IommuContainer::set_iommu() {
    if (const int result = call(fd_.get(), VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU); result < 0) {
        if (result == -EPERM)
            throw Error(
                {.kind = ErrorKind::not_permitted,
                 .action = "use the IOMMU for",
                 .subject = name_,
                 .cause =
                     "it does not remap interrupts, so a device could raise any interrupt of this machine",
                 .remedy =
                     "turn interrupt remapping on in the firmware and do not boot with intremap=off; to "
                     "accept "
                     "the risk, write 1 to /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"});
        throw_errno(-result, "use the IOMMU for", name_);
    }
    ask_iommu();
}

void IommuContainer::ask_iommu() {
    const vfio_iommu_type1_info question{};
    std::vector<std::byte> answer;
    if (const int error = ask(fd_.get(), VFIO_IOMMU_GET_INFO, question, answer); error != 0)
        throw_errno(error, "ask about the IOMMU of", name_);
    vfio_iommu_type1_info info{};
    std::memcpy(&info, answer.data(), sizeof info);
    if ((info.flags & VFIO_IOMMU_INFO_PGSIZES) != 0 && info.iova_pgsizes != 0)
        page_size_ = std::uint64_t{1} << std::countr_zero(info.iova_pgsizes);
    const auto capability =
        (info.flags & VFIO_IOMMU_INFO_CAPS) != 0
            ? find_capability(answer, info.cap_offset, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
            : std::nullopt;
    if (!capability)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "ask for the valid I/O addresses of",
                     .subject = name_,
                     .cause = "this kernel does not tell them",
                     .remedy = "use Linux 5.4 or later"});
    ranges_ = parse_iova_ranges(*capability);
}

void IommuContainer::map(const DmaMapping& mapping) {
    const std::uint64_t size = mapping.memory.size();
    if (mapping.iova == inherited_.first && mapping.iova + (size - 1) == inherited_.last)
        return;
    const MemoryLock lock = current_memory_lock();
    check_memory_lock(lock, size, name_);
    vfio_iommu_type1_dma_map map{};
    map.argsz = sizeof map;
    if (mapping.access != DmaAccess::write)
        map.flags |= VFIO_DMA_MAP_FLAG_READ;
    if (mapping.access != DmaAccess::read)
        map.flags |= VFIO_DMA_MAP_FLAG_WRITE;
    map.vaddr = reinterpret_cast<std::uintptr_t>(mapping.memory.data());
    map.iova = mapping.iova;
    map.size = size;
    const int result = call(fd_.get(), VFIO_IOMMU_MAP_DMA, &map);
    if (result >= 0)
        return;
    // The kernel counts for itself: other threads lock memory too, and it may see our capabilities
    // differently.
    if (result == -ENOMEM && lock.soft_limit != UINT64_MAX)
        throw_memory_lock(lock, size, name_);
    throw_errno(-result, fmt::format("map {} bytes at IOVA {:#x} for", size, mapping.iova), name_,
                result == -ENOSPC ? "it has too many mappings: register fewer, larger pieces of memory" : "");
}

void IommuContainer::unmap(std::uint64_t iova, std::uint64_t size) {
    vfio_iommu_type1_dma_unmap unmap{};
    unmap.argsz = sizeof unmap;
    unmap.iova = iova;
    unmap.size = size;
    if (const int result = call(fd_.get(), VFIO_IOMMU_UNMAP_DMA, &unmap); result < 0)
        throw_errno(-result, fmt::format("unmap IOVA {:#x} of", iova), name_);
    if (unmap.size != size)
        throw Error({.kind = ErrorKind::failed,
                     .action = fmt::format("unmap {} bytes at IOVA {:#x} of", size, iova),
                     .subject = name_,
                     .cause = fmt::format("{} bytes were mapped there", unmap.size),
                     .remedy = {}});
}

}  // namespace outboard::vfio
