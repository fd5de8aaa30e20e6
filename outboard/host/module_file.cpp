#include "outboard/host/module_file.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/classes/driver_module.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace outboard {

namespace {

using Bytes = std::span<const std::byte>;

/// Far more than a driver is large.
constexpr off_t largest_module = off_t{64} << 20;
/// More than any driver knows.
constexpr std::uint32_t most_devices = 4096;

[[noreturn]] void refuse(const std::string& path, ErrorKind kind, std::string cause,
                         std::string remedy = {}) {
    throw Error({.kind = kind,
                 .action = "use as a driver",
                 .subject = path,
                 .cause = std::move(cause),
                 .remedy = std::move(remedy)});
}

/// The part [offset, offset + size), or nothing when that does not lie inside.
std::optional<Bytes> part(Bytes bytes, std::uint64_t offset, std::uint64_t size) {
    if (offset > bytes.size() || size > bytes.size() - offset)
        return std::nullopt;
    return bytes.subspan(offset, size);
}

template <class T>
std::optional<T> read_at(Bytes bytes, std::uint64_t offset) {
    const std::optional<Bytes> place = part(bytes, offset, sizeof(T));
    if (!place)
        return std::nullopt;
    T value;
    std::memcpy(&value, place->data(), sizeof value);
    return value;
}

template <std::size_t size>
std::string text_of(const std::array<char, size>& characters) {
    return {characters.begin(), std::ranges::find(characters, '\0')};
}

constexpr std::uint64_t padded(std::uint64_t size) {
    return (size + 3) & ~std::uint64_t{3};
}

/// The content of Outboard's note among the notes of a segment.
std::optional<Bytes> find_note(Bytes notes) {
    std::uint64_t at = 0;
    while (const auto header = read_at<Elf64_Nhdr>(notes, at)) {
        at += sizeof *header;
        const std::optional<Bytes> name = part(notes, at, header->n_namesz);
        const std::uint64_t content_at = at + padded(header->n_namesz);
        const std::optional<Bytes> content = part(notes, content_at, header->n_descsz);
        if (!name || !content)
            return std::nullopt;
        const std::string_view owner(reinterpret_cast<const char*>(name->data()), name->size());
        if (header->n_type == module_note::type && owner.size() == module_note::owner.size() + 1 &&
            owner.starts_with(module_note::owner))
            return content;
        at = content_at + padded(header->n_descsz);
    }
    return std::nullopt;
}

std::optional<Bytes> find_note_in_file(Bytes file, const std::string& path) {
    const auto header = read_at<Elf64_Ehdr>(file, 0);
    if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        refuse(path, ErrorKind::unsupported, "it is no ELF file");
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_type != ET_DYN ||
        header->e_phentsize != sizeof(Elf64_Phdr))
        refuse(path, ErrorKind::unsupported, "it is no shared object of this machine");
    for (std::uint64_t i = 0; i < header->e_phnum; ++i) {
        // Neither can overflow: 2^16 headers, and part() subtracts.
        const auto segment = read_at<Elf64_Phdr>(
            file, std::min<std::uint64_t>(header->e_phoff, file.size()) + i * sizeof(Elf64_Phdr));
        if (!segment)
            refuse(path, ErrorKind::unsupported, "its program headers lie outside of it");
        if (segment->p_type != PT_NOTE)
            continue;
        const std::optional<Bytes> notes = part(file, segment->p_offset, segment->p_filesz);
        if (!notes)
            refuse(path, ErrorKind::unsupported, "its notes lie outside of it");
        if (const std::optional<Bytes> found = find_note(*notes))
            return found;
    }
    return std::nullopt;
}

void require_version(const std::string& path, std::uint32_t version) {
    if (version != driver_interface_version)
        refuse(
            path, ErrorKind::unsupported,
            fmt::format("it is made for version {} of the driver interface, and this program has version {}",
                        version, driver_interface_version),
            "build it with the headers of this version of Outboard");
}

/// A file for reading, mapped.
class Mapping {
  public:
    Mapping(int fd, std::size_t size, const std::string& path)
        : address_(::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0)), size_(size) {
        if (address_ == MAP_FAILED)
            throw_errno(errno, "map", path);
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    Mapping(Mapping&&) = delete;
    Mapping& operator=(Mapping&&) = delete;
    ~Mapping() { ::munmap(address_, size_); }
    Bytes bytes() const noexcept { return {static_cast<const std::byte*>(address_), size_}; }

  private:
    void* address_;
    std::size_t size_;
};

}  // namespace

ModuleDescription parse_module(Bytes file, const std::string& path) {
    const std::optional<Bytes> note = find_note_in_file(file, path);
    if (!note)
        refuse(path, ErrorKind::unsupported, "it is no driver module: it has no note of Outboard");
    const auto head = read_at<module_note::Head>(*note, 0);
    if (!head)
        refuse(path, ErrorKind::unsupported, "its note is cut short");
    ModuleDescription description{.interface_version = head->interface_version,
                                  .driver = std::make_unique<const std::string>(text_of(head->driver)),
                                  .devices = {}};
    // What follows may look different in another version.
    if (description.interface_version != driver_interface_version)
        return description;
    if (head->devices > most_devices || description.driver->empty())
        refuse(path, ErrorKind::unsupported, "its note is damaged");
    std::vector<std::string> names;
    for (std::uint32_t i = 0; i < head->devices; ++i) {
        const auto device = read_at<module_note::Device>(
            *note, sizeof *head + std::uint64_t{i} * sizeof(module_note::Device));
        if (!device)
            refuse(path, ErrorKind::unsupported, "its note is cut short");
        names.push_back(text_of(device->name));
        description.devices.push_back({.vendor = device->vendor,
                                       .device = device->device,
                                       .class_code = device->class_code,
                                       .class_mask = device->class_mask,
                                       .name = {}});
    }
    description.names = std::make_unique<const std::vector<std::string>>(std::move(names));
    for (std::size_t i = 0; i < description.devices.size(); ++i)
        description.devices[i].name = (*description.names)[i];
    return description;
}

ModuleFile open_module(const std::filesystem::path& path) {
    Fd fd = open_file(path, O_RDONLY);
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0)
        throw_errno(errno, "look at", path.string());
    if (!S_ISREG(status.st_mode) || status.st_size <= 0 || status.st_size > largest_module)
        refuse(path, ErrorKind::unsupported, "it is no file of a driver's size");
    if ((status.st_uid != 0 && status.st_uid != ::geteuid()) || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        refuse(path, ErrorKind::not_permitted,
               fmt::format("others may change it: it belongs to user {} and has mode {:o}", status.st_uid,
                           status.st_mode & 07777U),
               fmt::format("as root: `chown root {0} && chmod go-w {0}`", path.string()));
    const Mapping mapping(fd.get(), static_cast<std::size_t>(status.st_size), path);
    ModuleDescription description = parse_module(mapping.bytes(), path);
    require_version(path, description.interface_version);
    return {.path = path, .fd = std::move(fd), .description = std::move(description)};
}

const DriverDescription& load_module(const std::filesystem::path& path, std::string_view driver) {
    void* const module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr)
        refuse(path, ErrorKind::unsupported, fmt::format("it cannot be loaded: {}", ::dlerror()),
               "a missing symbol means that it is made for another version of Outboard");
    const auto* const found = static_cast<const DriverModule*>(::dlsym(module, "outboard_driver"));
    if (found == nullptr || found->magic != DriverModule::expected_magic)
        refuse(path, ErrorKind::unsupported, "it exports no outboard_driver");
    require_version(path, found->interface_version);
    if (found->description_bytes != sizeof(DriverDescription) || found->description == nullptr)
        refuse(path, ErrorKind::unsupported, "its description of the driver has another layout",
               "build it with the headers and the compiler of this version of Outboard");
    if (found->description->name != driver)
        refuse(path, ErrorKind::unsupported,
               fmt::format("its note speaks of the driver {}, and it brings {}", driver,
                           found->description->name));
    return *found->description;
}

}  // namespace outboard
