#include "outboard/sim/models/disk_options.hpp"
#include "outboard/sim/models/nvme/controller.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
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

std::vector<StorageOptions> make_namespaces(const ModelOptions& values) {
    std::vector<StorageOptions> namespaces;
    const std::string& file = values.text("file");
    const std::uint64_t count = values.number("namespaces");
    for (std::uint64_t id = 1; id <= count; ++id) {
        const bool further = id > 1 && !file.empty();
        StorageOptions& storage =
            namespaces.emplace_back(choose_medium(values, further ? fmt::format("{}.{}", file, id) : file));
        storage.size = values.bytes("size");
        storage.block_size =
            values.with_part("block-size", id - 1, count).number_as<std::uint32_t>("block-size");
        storage.write_cache = values.bytes("write-cache");
    }
    return namespaces;
}

std::unique_ptr<PciModel> make(const ModelOptions& values) {
    return std::make_unique<Controller>(
        Options{.namespaces = make_namespaces(values),
                .serial = values.text("serial"),
                .queue_pairs = values.number_as<unsigned>("queues"),
                .queue_entries = values.number_as<unsigned>("queue-entries"),
                .max_transfer = values.bytes("max-transfer"),
                .doorbell_stride = values.number_as<unsigned>("doorbell-stride"),
                .shadow_doorbells = values.flag("shadow-doorbells"),
                .ready_time = values.duration("ready-time"),
                .shutdown_time = values.duration("shutdown-time"),
                .latency = values.duration("latency")});
}

}  // namespace

const ModelDescription description{.name = "nvme",
                                   .summary = "An NVMe controller (1234:4e56)",
                                   .options = options,
                                   .faults = queued_disk_faults,
                                   .make = make};

}  // namespace outboard::sim::nvme
