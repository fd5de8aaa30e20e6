// Names of devices as people give them, and lines of the kernel log about DMA that an IOMMU blocked.
#include "outboard/backend/device_name.hpp"
#include "outboard/backend/pci/iommu_faults.hpp"

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"
#include <fmt/format.h>

namespace outboard::fuzz {
namespace {

void read_name(std::string_view text) {
    const auto name = accepted([&] { return DeviceName::parse(text); }, ErrorKind::usage);
    require(name.has_value() || !PciAddress::has_form(text), "an address is a name");
    if (!name)
        return;
    require(name->pci().has_value() != !name->socket().empty(), "it names an address or a socket");
    const DeviceName again = DeviceName::parse(name->text());
    require(again.text() == name->text() && again.pci() == name->pci() && again.socket() == name->socket(),
            "a name that is written out is the same name");
    if (name->pci())
        require(PciAddress::parse(name->pci()->text()) == *name->pci(), "an address likewise");
}

void read_fault(std::string_view line) {
    const auto fault = parse_iommu_fault(line);
    if (!fault)
        return;
    const auto again = parse_iommu_fault(
        fmt::format("vfio-pci {}: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000a address={:#x} flags={}]",
                    fault->device.text(), fault->iova, fault->write ? "0x0020" : "0x0000"));
    require(
        again && again->device == fault->device && again->iova == fault->iova && again->write == fault->write,
        "the other form tells the same fault");
}

}  // namespace

void run(Input input) {
    const std::string_view text = input.take_text();
    read_name(text);
    read_fault(text);
}

}  // namespace outboard::fuzz
