// Names of PCI vendors, devices and classes from the pci.ids file of the distribution.
#pragma once

#include "outboard/backend/pci/identity.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace outboard {

class PciNames {
  public:
    /// Reads the text of a pci.ids file. Lines that are not in its form are passed over.
    explicit PciNames(std::string_view text);
    /// The file of this machine; without one nothing has a name.
    static PciNames load(const std::filesystem::path& path = "/usr/share/misc/pci.ids");

    /// "Intel Corporation 82371SB PIIX3 IDE [Natoma/Triton II]"; what has no name is given by its number:
    /// "8086:7010".
    std::string device(const PciIdentity& identity) const;
    /// "IDE interface", or "class 0101".
    std::string device_class(const PciIdentity& identity) const;

  private:
    std::map<std::uint32_t, std::string> vendors_;
    std::map<std::uint32_t, std::string> devices_;      ///< by vendor << 16 | device
    std::map<std::uint32_t, std::string> classes_;      ///< by base class
    std::map<std::uint32_t, std::string> sub_classes_;  ///< by base class << 8 | sub-class
};

}  // namespace outboard
