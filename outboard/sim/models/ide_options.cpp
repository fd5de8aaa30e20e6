// The IDE controller's entry in the table of models: its options as a user states them.
#include "outboard/sim/models/ata_options.hpp"
#include "outboard/sim/models/ide.hpp"

#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace outboard::sim {

namespace {

constexpr std::array options{
    OptionDescription{.name = "controller",
                      .value = "cmd646",
                      .help = "cmd646, plain (both native or compatibility mode), piix3, piix4"},
    OptionDescription{
        .name = "mode",
        .value = "usual",
        .help = "native (INTx), compatibility (no interrupt), or what the controller usually has"},
    OptionDescription{.name = "disks", .value = "1", .help = "How many disks, 1 to 4, places in order"},
    OptionDescription{.name = "size",
                      .value = "1G",
                      .help = "Size of a disk; several apart by commas, the last also for the rest"},
    OptionDescription{.name = "file",
                      .value = "",
                      .help = "Raw images, apart by commas; made where there is none. Without: memory"},
    OptionDescription{.name = "null", .value = "off", .help = "on: keep nothing, for benchmarks"},
    OptionDescription{.name = "sector", .value = "512", .help = "Bytes of a logical sector: 512 or 4096"},
    OptionDescription{.name = "extended", .value = "on", .help = "off: no 48-bit commands, FUA and TRIM"},
    OptionDescription{.name = "write-cache", .value = "on", .help = "off: the disks have none"},
    OptionDescription{.name = "latency",
                      .value = "0us",
                      .help = "What a command takes; several apart by commas, as with size"},
    OptionDescription{
        .name = "bad",
        .value = "",
        .help = "Sectors of the first disk that cannot be read: FIRST or FIRST+COUNT, by commas"}};

constexpr std::array faults{FaultKind::interrupt_drop,
                            FaultKind::interrupt_duplicate,
                            FaultKind::interrupt_delay,
                            FaultKind::completion_drop,
                            FaultKind::completion_duplicate,
                            FaultKind::completion_delay,
                            FaultKind::status_error,
                            FaultKind::dma_short,
                            FaultKind::dma_misplaced,
                            FaultKind::data_stale,
                            FaultKind::data_torn,
                            FaultKind::all_ones,
                            FaultKind::never_ready,
                            FaultKind::queue_overwrite,
                            FaultKind::doorbell_ignored,
                            FaultKind::reset_failure};

std::optional<IdeMode> parse_mode(const ModelOptions& values) {
    const std::string& text = values.text("mode");
    if (text == "native")
        return IdeMode::native;
    if (text == "compatibility")
        return IdeMode::compatibility;
    if (text != "usual")
        values.refuse("mode", "it is not native, compatibility or usual");
    return std::nullopt;
}

std::unique_ptr<PciModel> make(const ModelOptions& values) {
    IdeOptions ide;
    ide.controller = values.text("controller");
    ide.mode = parse_mode(values);
    const std::uint64_t disks = values.number("disks");
    if (disks < 1 || disks > ide_places)
        values.refuse("disks", "it is not 1 to 4");
    for (std::size_t place = 0; place < disks; ++place) {
        IdeDiskOptions& disk = ide.disks[place].emplace();
        disk.storage = parse_storage(values, place, disks);
        disk.serial = fmt::format("ide{}", place);
        disk.write_cache = values.flag("write-cache");
        disk.extended = values.flag("extended");
        disk.latency = values.with_part("latency", place, disks).duration("latency");
        if (place == 0)
            disk.bad = parse_bad(values);
    }
    return std::make_unique<IdeModel>(ide);
}

}  // namespace

const ModelDescription ide_description{.name = "ide",
                                       .summary = "A PCI IDE controller with up to four ATA disks",
                                       .options = options,
                                       .faults = faults,
                                       .make = make};

}  // namespace outboard::sim
