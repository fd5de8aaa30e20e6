#include "outboard/classes/block_device.hpp"

namespace outboard {

const char* to_string(BlockStatus status) noexcept {
    switch (status) {
        case BlockStatus::pending:
            return "pending";
        case BlockStatus::ok:
            return "ok";
        case BlockStatus::media_error:
            return "media error";
        case BlockStatus::device_error:
            return "device error";
        case BlockStatus::timed_out:
            return "timed out";
        case BlockStatus::out_of_range:
            return "out of range";
        case BlockStatus::not_supported:
            return "not supported";
        case BlockStatus::removed:
            return "device removed";
        case BlockStatus::aborted:
            return "aborted";
    }
    return "unknown";
}

}  // namespace outboard
