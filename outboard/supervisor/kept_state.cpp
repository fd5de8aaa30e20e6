#include "outboard/supervisor/kept_state.hpp"

#include "outboard/base/error.hpp"

namespace outboard {

namespace {

using nlohmann::json;

json to_json(const KeptDisk& disk) {
    return {{"disk", disk.disk},
            {"device_id", disk.info.device_id},
            {"queues", disk.info.queues},
            {"queue_depth", disk.info.queue_depth},
            {"max_io_bytes", disk.info.max_io_bytes},
            {"flags", disk.info.flags},
            {"server_flags", disk.info.server_flags},
            {"stable_writes", disk.stable_writes}};
}

KeptDisk kept_disk(const json& document) {
    KeptDisk disk;
    document.at("disk").get_to(disk.disk);
    document.at("device_id").get_to(disk.info.device_id);
    document.at("queues").get_to(disk.info.queues);
    document.at("queue_depth").get_to(disk.info.queue_depth);
    document.at("max_io_bytes").get_to(disk.info.max_io_bytes);
    document.at("flags").get_to(disk.info.flags);
    document.at("server_flags").get_to(disk.info.server_flags);
    document.at("stable_writes").get_to(disk.stable_writes);
    return disk;
}

}  // namespace

json to_json(const KeptState& state) {
    json disks = json::array();
    for (const KeptDisk& disk : state.disks)
        disks.push_back(to_json(disk));
    return {{"driver", state.driver},
            {"arena_bytes", state.arena_bytes},
            {"arena_iova", state.arena_iova},
            {"bound_here", state.bound_here},
            {"disks", disks},
            {"host_pid", state.host_pid},
            {"restarts", state.restarts},
            {"quarantine", state.quarantine}};
}

KeptState kept_state(const json& document) {
    try {
        KeptState state;
        document.at("driver").get_to(state.driver);
        document.at("arena_bytes").get_to(state.arena_bytes);
        document.at("arena_iova").get_to(state.arena_iova);
        document.at("bound_here").get_to(state.bound_here);
        document.at("host_pid").get_to(state.host_pid);
        document.at("restarts").get_to(state.restarts);
        state.quarantine = document.value("quarantine", std::string());
        for (const json& disk : document.at("disks"))
            state.disks.push_back(kept_disk(disk));
        return state;
    } catch (const json::exception& error) {
        throw Error({.kind = ErrorKind::failed,
                     .action = "understand",
                     .subject = "what another outboardd has left",
                     .cause = error.what(),
                     .remedy = {}});
    }
}

}  // namespace outboard
