#include "outboard/backend/pci/iommu_faults.hpp"

#include "outboard/base/error.hpp"

#include <array>
#include <cerrno>
#include <charconv>

#include <fcntl.h>
#include <unistd.h>

namespace outboard {

namespace {

constexpr std::uint64_t amd_write_flag = 0x020;  // EVENT_FLAG_RW: AMD I/O Virtualization 3.00, 2.5.3, bit RW

/// The text behind `mark`; nothing when the mark is missing.
std::optional<std::string_view> behind(std::string_view text, std::string_view mark) {
    const std::size_t place = text.find(mark);
    if (place == std::string_view::npos)
        return std::nullopt;
    return text.substr(place + mark.size());
}

std::optional<std::uint64_t> hex_number(std::optional<std::string_view> text) {
    if (!text)
        return std::nullopt;
    if (text->starts_with("0x"))
        text->remove_prefix(2);
    std::uint64_t value = 0;
    if (std::from_chars(text->data(), text->data() + text->size(), value, 16).ec != std::errc())
        return std::nullopt;
    return value;
}

/// An address with or without its domain.
std::optional<PciAddress> read_address(std::string_view text) {
    const std::string whole =
        text.find(':') == text.rfind(':') ? "0000:" + std::string(text) : std::string(text);
    if (!PciAddress::has_form(whole))
        return std::nullopt;
    return PciAddress::parse(whole);
}

std::string_view until(std::string_view text, std::string_view ends) {
    return text.substr(0, text.find_first_of(ends));
}

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \n");
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

// DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x8001000 [fault reason 0x05] PTE Write
// access …
std::optional<IommuFault> parse_intel(std::string_view text) {
    const bool write = text.starts_with("[DMA Write");
    if (!write && !text.starts_with("[DMA Read"))
        return std::nullopt;
    const auto device = behind(text, "Request device [");
    const auto iova = hex_number(behind(text, "fault addr "));
    const auto reason = behind(text, "[fault reason ");
    const auto address = device ? read_address(until(*device, "]")) : std::nullopt;
    if (!address || !iova || !reason)
        return std::nullopt;
    const std::string_view words = trimmed(behind(*reason, "]").value_or(""));
    return IommuFault{.device = *address,
                      .write = write,
                      .iova = *iova,
                      .reason = std::string(words.empty() ? until(*reason, "]") : words)};
}

// vfio-pci 0000:00:03.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000a address=0x8001000 flags=0x0020],
// or with device= inside the brackets when the kernel has no device at hand.
std::optional<IommuFault> parse_amd(std::string_view prefix, std::string_view text) {
    const auto iova = hex_number(behind(text, "address="));
    const auto flags_text = behind(text, "flags=");
    const auto flags = hex_number(flags_text);
    std::optional<PciAddress> address;
    if (const auto device = behind(text, "device=")) {
        address = read_address(until(*device, " ]"));
    } else if (prefix.ends_with(": ")) {
        prefix.remove_suffix(2);
        address = read_address(prefix.substr(prefix.rfind(' ') + 1));
    }
    if (!address || !iova || !flags_text || !flags)
        return std::nullopt;
    return IommuFault{.device = *address,
                      .write = (*flags & amd_write_flag) != 0,
                      .iova = *iova,
                      .reason = "flags=" + std::string(until(*flags_text, " ]"))};
}

}  // namespace

std::optional<IommuFault> parse_iommu_fault(std::string_view line) {
    if (const auto intel = behind(line, "DMAR: "))
        return parse_intel(*intel);
    constexpr std::string_view amd_mark = "AMD-Vi: Event logged [IO_PAGE_FAULT ";
    if (const auto amd = behind(line, amd_mark))
        return parse_amd(line.substr(0, line.find(amd_mark)), *amd);
    return std::nullopt;
}

IommuFaultWatch::IommuFaultWatch(const std::filesystem::path& log)
    : log_(::open(log.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
    if (!log_)
        throw_errno(errno, "watch for IOMMU faults in", log.string(),
                    errno == EACCES || errno == EPERM
                        ? "run as root, or with CAP_SYSLOG and read access to the file"
                        : "");
    if (::lseek(log_.get(), 0, SEEK_END) < 0)
        throw_errno(errno, "find the end of", log.string());
}

std::vector<IommuFault> IommuFaultWatch::take(const PciAddress& device) {
    std::vector<IommuFault> faults = take();
    std::erase_if(faults, [&](const IommuFault& fault) { return fault.device != device; });
    return faults;
}

std::vector<IommuFault> IommuFaultWatch::take() {
    std::vector<IommuFault> faults;
    std::array<char, 8192> record{};  // the kernel gives one record a read, and never a larger one
    for (;;) {
        const ssize_t count = ::read(log_.get(), record.data(), record.size());
        // EPIPE: the log overwrote lines that were not read; the next read goes on with what there is.
        if (count < 0 && (errno == EINTR || errno == EPIPE))
            continue;
        if (count == 0 || (count < 0 && errno == EAGAIN))
            return faults;
        if (count < 0)
            throw_errno(errno, "read", "the kernel log");
        const std::string_view line(record.data(), static_cast<std::size_t>(count));
        // "priority,sequence,time,flags;text", then lines of properties.
        const std::string_view text = until(line.substr(line.find(';') + 1), "\n");
        if (auto fault = parse_iommu_fault(text); fault)
            faults.push_back(std::move(*fault));
    }
}

}  // namespace outboard
