// The AHCI controller's entry in the table of models: its options as a user states them.
#include "outboard/sim/models/ahci/hba.hpp"
#include "outboard/sim/models/ata_options.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include <fmt/format.h>

namespace outboard::sim::ahci {

namespace {

constexpr std::array options{
    OptionDescription{
        .name = "ports", .value = "6", .help = "Ports, 1 to 32; those without a disk are empty"},
    OptionDescription{.name = "disks", .value = "1", .help = "How many disks, at the first ports"},
    OptionDescription{.name = "size",
                      .value = "1G",
                      .help = "Size of a disk; several apart by commas, the last also for the rest"},
    OptionDescription{.name = "file",
                      .value = "",
                      .help = "Raw images, apart by commas; made where there is none. Without: memory"},
    OptionDescription{
        .name = "null", .value = "off", .help = "on: keep nothing and move no data, for benchmarks"},
    OptionDescription{.name = "sector", .value = "512", .help = "Bytes of a logical sector: 512 or 4096"},
    OptionDescription{
        .name = "extended", .value = "on", .help = "off: no 48-bit commands, NCQ, FUA and TRIM"},
    OptionDescription{.name = "write-cache", .value = "on", .help = "off: the disks have none"},
    OptionDescription{.name = "slots", .value = "32", .help = "Command slots of a port, 1 to 32 (CAP.NCS)"},
    OptionDescription{.name = "queuing", .value = "on", .help = "off: the HBA has no NCQ (CAP.SNCQ)"},
    OptionDescription{
        .name = "queue-depth", .value = "32", .help = "Commands a disk queues, 1 to 32; 0: it has no NCQ"},
    OptionDescription{.name = "staggered", .value = "off", .help = "on: staggered spin-up (CAP.SSS)"},
    OptionDescription{
        .name = "firmware-owned", .value = "off", .help = "on: firmware has to be asked for it (CAP2.BOH)"},
    OptionDescription{.name = "msi", .value = "on", .help = "off: INTx only"},
    OptionDescription{.name = "latency",
                      .value = "0us",
                      .help = "What a command takes; several apart by commas, as with size"},
    OptionDescription{
        .name = "bad",
        .value = "",
        .help = "Sectors of the first disk that cannot be read: FIRST or FIRST+COUNT, by commas"}};

constexpr std::array faults{
    FaultKind::interrupt_drop,   FaultKind::interrupt_duplicate,  FaultKind::interrupt_delay,
    FaultKind::completion_drop,  FaultKind::completion_duplicate, FaultKind::completion_delay,
    FaultKind::wrong_identifier, FaultKind::status_error,         FaultKind::dma_short,
    FaultKind::dma_misplaced,    FaultKind::data_stale,           FaultKind::data_torn,
    FaultKind::all_ones,         FaultKind::never_ready,          FaultKind::queue_overwrite,
    FaultKind::doorbell_ignored, FaultKind::reset_failure};

std::unique_ptr<PciModel> make(const ModelOptions& values) {
    const std::uint64_t ports = values.number("ports");
    const std::uint64_t disks = values.number("disks");
    if (ports < 1 || ports > most_ports)
        values.refuse("ports", "it is not 1 to 32");
    if (disks > ports)
        values.refuse("disks", "there are fewer ports");
    Options hba;
    hba.ports.resize(ports);
    for (std::size_t place = 0; place < disks; ++place) {
        DiskOptions& port = hba.ports[place].emplace();
        port.disk.storage = parse_storage(values, place, disks);
        port.disk.model = "Outboard simulated SATA disk";
        port.disk.serial = fmt::format("ahci{}", place);
        port.disk.write_cache = values.flag("write-cache");
        port.disk.extended = values.flag("extended");
        port.disk.latency = values.with_part("latency", place, disks).duration("latency");
        if (place == 0)
            port.disk.bad = parse_bad(values);
        // What is out of range here the disk refuses.
        port.queue_depth = static_cast<unsigned>(std::min<std::uint64_t>(values.number("queue-depth"), 33));
    }
    hba.slots = static_cast<unsigned>(std::min<std::uint64_t>(values.number("slots"), most_slots + 1));
    hba.queuing = values.flag("queuing");
    hba.staggered = values.flag("staggered");
    hba.firmware_owned = values.flag("firmware-owned");
    hba.messages = values.flag("msi");
    return std::make_unique<Hba>(hba);
}

}  // namespace

const ModelDescription description{.name = "ahci",
                                   .summary = "An AHCI controller with SATA disks (1234:4148)",
                                   .options = options,
                                   .faults = faults,
                                   .make = make};

}  // namespace outboard::sim::ahci
