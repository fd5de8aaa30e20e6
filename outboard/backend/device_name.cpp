#include "outboard/backend/device_name.hpp"

#include "outboard/base/error.hpp"

#include <filesystem>
#include <system_error>

#include <fmt/format.h>

namespace outboard {

DeviceName DeviceName::parse(std::string_view text) {
    DeviceName name;
    if (PciAddress::has_form(text)) {
        name.pci_ = PciAddress::parse(text);
        name.text_ = name.pci_->text();
        return name;
    }
    if (!text.starts_with(vfio_user_prefix) || text.size() == vfio_user_prefix.size())
        throw Error({.kind = ErrorKind::usage,
                     .action = "find the device",
                     .subject = fmt::format("'{}'", text),
                     .cause =
                         "that is neither a PCI address in full, such as 0000:00:04.0, nor the socket of a "
                         "vfio-user server, such as vfio-user:/run/disk.sock",
                     .remedy = "`outboard list` shows the PCI devices of this machine"});
    name.text_ = text;
    return name;
}

std::string_view DeviceName::socket() const noexcept {
    return pci_ || text_.empty() ? std::string_view()
                                 : std::string_view(text_).substr(vfio_user_prefix.size());
}

std::string DeviceName::full_socket() const {
    std::error_code error;
    std::filesystem::path full = std::filesystem::absolute(socket(), error);
    if (!error)
        full = std::filesystem::weakly_canonical(full, error);
    return error ? std::string(socket()) : full.string();
}

}  // namespace outboard
