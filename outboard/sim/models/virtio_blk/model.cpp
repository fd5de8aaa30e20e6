#include "outboard/sim/models/disk_options.hpp"
#include "outboard/sim/models/virtio_blk/disk.hpp"

#include <array>
#include <memory>

namespace outboard::sim::virtio_blk {

namespace {

constexpr std::array options{
    OptionDescription{.name = "size", .value = "1G", .help = "Size of the disk"},
    OptionDescription{.name = "file", .value = "", .help = "Image that it is kept in"},
    OptionDescription{.name = "null", .value = "off", .help = "Keep nothing and move no data"},
    OptionDescription{.name = "block-size", .value = "512", .help = "Bytes, 512 to 65536"},
    OptionDescription{.name = "write-cache",
                      .value = "0",
                      .help = "Unflushed writes that a power cut may lose, in bytes; 0: write-through"},
    OptionDescription{.name = "queues", .value = "4", .help = "1 to 256"},
    OptionDescription{.name = "queue-size", .value = "256", .help = "Descriptors, 2 to 1024"},
    OptionDescription{.name = "packed", .value = "off", .help = "Offer packed rings"},
    OptionDescription{.name = "indirect", .value = "on", .help = "Offer tables of descriptors"},
    OptionDescription{.name = "event-index", .value = "on", .help = "Offer event indexes"},
    OptionDescription{.name = "iommu-platform", .value = "on", .help = "Offer ACCESS_PLATFORM"},
    OptionDescription{.name = "msix", .value = "on", .help = "Off: INTx only"},
    OptionDescription{.name = "seg-max", .value = "0", .help = "Segments of a request; 0: queue-size less 2"},
    OptionDescription{.name = "size-max", .value = "0", .help = "Bytes of a segment; 0: any"},
    OptionDescription{.name = "read-only", .value = "off", .help = "Refuse writes"},
    OptionDescription{.name = "discard", .value = "on", .help = "Offer discard"},
    OptionDescription{.name = "write-zeroes", .value = "on", .help = "Offer write zeroes"},
    OptionDescription{.name = "latency", .value = "0s", .help = "How long a request takes"},
    OptionDescription{.name = "serial", .value = "OUTBOARD0001", .help = "Serial number"}};

StorageOptions storage(const ModelOptions& values) {
    StorageOptions chosen = choose_medium(values, values.text("file"));
    chosen.size = values.bytes("size");
    chosen.block_size = values.number_as<std::uint32_t>("block-size");
    chosen.write_cache = values.bytes("write-cache");
    return chosen;
}

std::unique_ptr<PciModel> make(const ModelOptions& values) {
    return std::make_unique<Disk>(Options{.storage = storage(values),
                                          .serial = values.text("serial"),
                                          .queues = values.number_as<std::uint16_t>("queues"),
                                          .queue_size = values.number_as<std::uint16_t>("queue-size"),
                                          .seg_max = values.number_as<std::uint32_t>("seg-max"),
                                          .size_max = values.number_as<std::uint32_t>("size-max"),
                                          .packed = values.flag("packed"),
                                          .indirect = values.flag("indirect"),
                                          .event_index = values.flag("event-index"),
                                          .iommu_platform = values.flag("iommu-platform"),
                                          .msix = values.flag("msix"),
                                          .read_only = values.flag("read-only"),
                                          .discard = values.flag("discard"),
                                          .write_zeroes = values.flag("write-zeroes"),
                                          .latency = values.duration("latency")});
}

}  // namespace

const ModelDescription description{.name = "virtio-blk",
                                   .summary = "A virtio disk (1af4:1042)",
                                   .options = options,
                                   .faults = queued_disk_faults,
                                   .make = make};

}  // namespace outboard::sim::virtio_blk
