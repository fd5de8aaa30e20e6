#include "outboard/export/ublk/disk_server.hpp"

#include "outboard/export/ublk/control.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace outboard::ublk {

DiskServer::~DiskServer() {
    // Not stopped: the kernel keeps the device for the next process.
    for (std::unique_ptr<QueueService>& queue : queues_)
        QueueService::abandon(std::move(queue));
}

Task<void> DiskServer::start() {
    for (std::uint16_t number = 0; number < setup_.info.queues; ++number) {
        queues_.push_back(
            std::make_unique<QueueService>(*loop_, *disk_,
                                           QueueService::Setup{.file = setup_.file.get(),
                                                               .info = setup_.info,
                                                               .number = number,
                                                               .stable_writes = setup_.stable_writes,
                                                               .path = disk_path(setup_.info.device_id),
                                                               .prepare_thread = setup_.prepare_thread,
                                                               .rings = setup_.rings}));
        try {
            queues_.back()->start(setup_.info.queues > 1);
        } catch (...) {
            queues_.pop_back();
            throw;
        }
    }
    Task<void> settling = settle();
    co_await std::move(settling);
    require_intact();
}

Task<void> DiskServer::settle() {
    for (const std::unique_ptr<QueueService>& queue : queues_) {
        Task<void> settled = queue->settled();
        co_await std::move(settled);
    }
}

void DiskServer::require_intact() {
    for (const std::unique_ptr<QueueService>& queue : queues_)
        queue->require_intact();
}

Task<void> DiskServer::turn() {
    // Queues may be added meanwhile.
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        Task<void> turning = queues_[i]->turn();
        co_await std::move(turning);
    }
}

void DiskServer::expect_end() noexcept {
    for (const std::unique_ptr<QueueService>& queue : queues_)
        queue->expect_end();
}

Task<void> DiskServer::end() {
    for (const std::unique_ptr<QueueService>& queue : queues_) {
        Task<void> end = queue->end();
        co_await std::move(end);
    }
    queues_.clear();
    setup_.file.reset();
}

}  // namespace outboard::ublk
