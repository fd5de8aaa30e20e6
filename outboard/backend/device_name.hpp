// How people name a device: by its PCI address, or by the socket of a server that offers it.
#pragma once

#include "outboard/backend/pci/address.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace outboard {

class DeviceName {
  public:
    /// How names of devices begin that a server offers: "vfio-user:PATH".
    static constexpr std::string_view vfio_user_prefix = "vfio-user:";

    DeviceName() = default;
    /// Reads a full BDF or "vfio-user:PATH". Throws Error (usage) that shows both forms.
    static DeviceName parse(std::string_view text);

    /// As it was given; a BDF in lower case.
    const std::string& text() const noexcept { return text_; }
    /// The PCI address; nothing for a vfio-user device.
    const std::optional<PciAddress>& pci() const noexcept { return pci_; }
    /// The path of a vfio-user device's socket as it was given; an empty text for a PCI device.
    std::string_view socket() const noexcept;
    /// The same in full, whatever the current folder is and whatever links lead there.
    std::string full_socket() const;

  private:
    std::string text_;
    std::optional<PciAddress> pci_;
};

}  // namespace outboard
