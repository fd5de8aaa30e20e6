#include "outboard/base/error.hpp"
#include "outboard/sim/models/nvme/controller.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

namespace outboard::sim::nvme {

namespace {

constexpr std::array options{
    OptionDescription{.name = "size", .value = "1G", .help = "Size of each namespace"},
    OptionDescription{.name = "file",
                      .value = "",
                      .help = "Image of namespace 1; those of further ones are FILE.2, FILE.3, ..."},
    OptionDescription{.name = "null", .value = "off", .help = "Keep nothing and move no data"},
    OptionDescription{.name = "namespaces", .value = "1", .help = "How many"},
    OptionDescription{
        .name = "block-size",
        .value = "512",
        .help = "512 to 4096; of each namespace as in 512,4096, the last one holds for the rest"},
    OptionDescription{.name = "write-cache",
                      .value = "0",
                      .help = "Unflushed writes that a power cut may lose, in bytes; 0: no volatile cache"},
    OptionDescription{.name = "queues", .value = "64", .help = "I/O queue pairs"},
    OptionDescription{.name = "queue-entries", .value = "1024", .help = "Longest queue (CAP.MQES)"},
    OptionDescription{.name = "max-transfer", .value = "512K", .help = "Largest command (MDTS)"},
    OptionDescription{.name = "doorbell-stride", .value = "0", .help = "CAP.DSTRD"},
    OptionDescription{.name = "shadow-doorbells", .value = "on", .help = "Offer Doorbell Buffer Config"},
    OptionDescription{.name = "latency", .value = "0s", .help = "How long an I/O command takes"},
    OptionDescription{.name = "ready-time", .value = "0s", .help = "From CC.EN to CSTS.RDY"},
    OptionDescription{.name = "shutdown-time", .value = "0s", .help = "From CC.SHN to CSTS.SHST"},
    OptionDescription{.name = "serial", .value = "OUTBOARD0001", .help = "Serial number"}};

constexpr std::array faults{FaultKind::interrupt_drop,
                            FaultKind::interrupt_duplicate,
                            FaultKind::interrupt_delay,
                            FaultKind::completion_drop,
                            FaultKind::completion_duplicate,
                            FaultKind::completion_delay,
                            FaultKind::wrong_identifier,
                            FaultKind::wrong_phase,
                            FaultKind::wrong_head,
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

std::uint32_t block_size(std::string_view word) {
    std::uint32_t size = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), size);
    if (error != std::errc() || end != word.data() + word.size())
        throw Error({.kind = ErrorKind::usage,
                     .action = "use",
                     .subject = "--block-size " + std::string(word),
                     .cause = "it is not a list of numbers, such as 512 or 512,4096",
                     .remedy = ""});
    return size;
}

/// Numbers apart by commas.
std::vector<std::uint32_t> block_sizes(std::string_view list) {
    std::vector<std::uint32_t> sizes;
    for (;;) {
        const std::size_t comma = list.find(',');
        sizes.push_back(block_size(list.substr(0, comma)));
        if (comma == std::string_view::npos)
            return sizes;
        list.remove_prefix(comma + 1);
    }
}

std::vector<StorageOptions> make_namespaces(const ModelOptions& values) {
    std::vector<StorageOptions> namespaces;
    const std::vector<std::uint32_t> sizes = block_sizes(values.text("block-size"));
    const std::string& file = values.text("file");
    for (std::uint64_t id = 1; id <= values.number("namespaces"); ++id) {
        StorageOptions storage{.size = values.bytes("size"),
                               .block_size = sizes[std::min<std::size_t>(id, sizes.size()) - 1],
                               .write_cache = values.bytes("write-cache")};
        if (values.flag("null"))
            storage.kind = StorageOptions::Kind::null;
        if (!file.empty()) {
            storage.kind = StorageOptions::Kind::file;
            storage.file = id == 1 ? file : fmt::format("{}.{}", file, id);
        }
        namespaces.push_back(storage);
    }
    return namespaces;
}

std::unique_ptr<PciModel> make(const ModelOptions& values) {
    return std::make_unique<Controller>(
        Options{.namespaces = make_namespaces(values),
                .serial = values.text("serial"),
                .queue_pairs = static_cast<unsigned>(values.number("queues")),
                .queue_entries = static_cast<unsigned>(values.number("queue-entries")),
                .max_transfer = values.bytes("max-transfer"),
                .doorbell_stride = static_cast<unsigned>(values.number("doorbell-stride")),
                .shadow_doorbells = values.flag("shadow-doorbells"),
                .ready_time = values.duration("ready-time"),
                .shutdown_time = values.duration("shutdown-time"),
                .latency = values.duration("latency")});
}

}  // namespace

const ModelDescription description{.name = "nvme",
                                   .summary = "An NVMe controller (1234:4e56)",
                                   .options = options,
                                   .faults = faults,
                                   .make = make};

}  // namespace outboard::sim::nvme
