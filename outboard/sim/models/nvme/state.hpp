// The parts of a controller that its commands work with.
#pragma once

#include "outboard/sim/models/nvme/doorbells.hpp"
#include "outboard/sim/models/nvme/events.hpp"
#include "outboard/sim/models/nvme/features.hpp"
#include "outboard/sim/models/nvme/logs.hpp"
#include "outboard/sim/models/nvme/namespaces.hpp"
#include "outboard/sim/models/nvme/options.hpp"
#include "outboard/sim/models/nvme/queue_set.hpp"
#include "outboard/sim/models/nvme/transfer.hpp"

#include <cstddef>
#include <span>

namespace outboard::sim::nvme {

struct State {
    /// `dma` and `doorbell_memory` outlive it. Throws Error.
    State(const Options& chosen, DmaMemory& memory, std::span<std::byte> doorbell_memory)
        : options(chosen),
          dma(memory),
          namespaces(chosen.namespaces),
          features(namespaces, chosen.queue_pairs, chosen.queue_pairs + 1),
          doorbells(doorbell_memory, chosen.doorbell_stride),
          queues(doorbells, memory, chosen.queue_pairs),
          transfer(memory, chosen.max_transfer) {}

    Options options;
    DmaMemory& dma;
    Namespaces namespaces;
    Features features;
    Doorbells doorbells;
    QueueSet queues;
    Transfer transfer;
    AsyncEvents events{};
    ErrorLog errors{};
    HealthCounters counters{};
};

}  // namespace outboard::sim::nvme
