#include "outboard/drivers/nvme/status.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace outboard::nvme {

namespace {

struct Meaning {
    unsigned type_and_code;
    std::string_view words;
};

constexpr std::array<Meaning, 31> meanings{{{0x001, "invalid command opcode"},
                                            {0x002, "invalid field in command"},
                                            {0x003, "command identifier conflict"},
                                            {0x004, "data transfer error"},
                                            {0x005, "aborted because power was lost"},
                                            {0x006, "internal error"},
                                            {0x007, "aborted as requested"},
                                            {0x008, "aborted because its queue was deleted"},
                                            {0x00b, "invalid namespace or format"},
                                            {0x00c, "command sequence error"},
                                            {0x013, "PRP offset invalid"},
                                            {0x020, "namespace is write protected"},
                                            {0x021, "command interrupted"},
                                            {0x022, "transient transport error"},
                                            {0x080, "LBA out of range"},
                                            {0x081, "capacity exceeded"},
                                            {0x082, "namespace not ready"},
                                            {0x100, "completion queue invalid"},
                                            {0x101, "invalid queue identifier"},
                                            {0x102, "invalid queue size"},
                                            {0x103, "abort command limit exceeded"},
                                            {0x108, "invalid interrupt vector"},
                                            {0x109, "invalid log page"},
                                            {0x10d, "feature cannot be saved"},
                                            {0x10e, "feature cannot be changed"},
                                            {0x280, "write fault"},
                                            {0x281, "unrecovered read error"},
                                            {0x282, "end-to-end guard check error"},
                                            {0x285, "compare failure"},
                                            {0x286, "access denied"},
                                            {0x287, "deallocated or unwritten block"}}};

}  // namespace

BlockStatus block_status(Status status) noexcept {
    if (status.ok())
        return BlockStatus::ok;
    switch (status.type_and_code()) {
        case status::invalid_opcode:
        case status::write_protected:
            return BlockStatus::not_supported;
        case status::lba_out_of_range:
            return BlockStatus::out_of_range;
        case status::invalid_namespace:
            return BlockStatus::removed;
        case status::access_denied:
            return BlockStatus::device_error;
        default:
            return status.type() == status::media_type ? BlockStatus::media_error : BlockStatus::device_error;
    }
}

bool worth_retrying(Status status) noexcept {
    return !status.do_not_retry() && block_status(status) == BlockStatus::device_error;
}

std::string describe(Status status) {
    const auto* const meaning = std::ranges::find(meanings, status.type_and_code(), &Meaning::type_and_code);
    return fmt::format("{} (status {:03x}h{})", meaning != meanings.end() ? meaning->words : "failed",
                       status.type_and_code(), status.do_not_retry() ? ", do not retry" : "");
}

}  // namespace outboard::nvme
