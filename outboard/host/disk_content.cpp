#include "outboard/host/disk_content.hpp"

#include "outboard/base/error.hpp"
#include "outboard/classes/block_io.hpp"

#include <algorithm>
#include <array>

namespace outboard {

namespace {

struct Signature {
    std::string_view name;
    std::size_t offset;
    std::string_view bytes;
};

using namespace std::string_view_literals;

// A volume comes before the boot-sector mark, which many of them carry as well.
constexpr std::array signatures{
    Signature{"a GPT partition table", 512, "EFI PART"sv},
    Signature{"an ext file system", 1024 + 56, "\x53\xef"sv},
    Signature{"an XFS file system", 0, "XFSB"sv},
    Signature{"a btrfs file system", 65536 + 64, "_BHRfS_M"sv},
    Signature{"an NTFS file system", 3, "NTFS    "sv},
    Signature{"an exFAT file system", 3, "EXFAT   "sv},
    Signature{"a FAT file system", 54, "FAT1"sv},
    Signature{"a FAT file system", 82, "FAT32"sv},
    Signature{"an F2FS file system", 1024, "\x10\x20\xf5\xf2"sv},
    Signature{"an ISO 9660 file system", 32769, "CD001"sv},
    Signature{"an LVM physical volume", 512, "LABELONE"sv},
    Signature{"an encrypted LUKS volume", 0, "LUKS\xba\xbe"sv},
    Signature{"a member of a RAID", 4096, "\xfc\x4e\x2b\xa9"sv},
    Signature{"a member of a RAID", 0, "\xfc\x4e\x2b\xa9"sv},
    Signature{"swap space", 4096 - 10, "SWAPSPACE2"sv},
    Signature{"a partition table or boot sector", 510, "\x55\xaa"sv},
};

bool found(const Signature& signature, std::span<const std::byte> start) noexcept {
    if (start.size() < signature.offset + signature.bytes.size())
        return false;
    return std::equal(signature.bytes.begin(), signature.bytes.end(),
                      start.begin() + static_cast<std::ptrdiff_t>(signature.offset),
                      [](char expected, std::byte byte) { return static_cast<std::byte>(expected) == byte; });
}

}  // namespace

Task<std::vector<std::byte>> read_disk_start(RunLoop& loop, BlockDevice& disk) {
    const BlockInfo& info = disk.info();
    const auto total = static_cast<std::size_t>(std::min<std::uint64_t>(content_probe_bytes, info.capacity));
    const std::size_t step =
        std::min<std::size_t>(total, info.max_transfer / info.block_size * info.block_size);
    const DmaBuffer buffer = disk.arena().allocate(step, 4096);
    BlockIo io(disk, loop);
    std::vector<std::byte> start;
    while (start.size() < total) {
        const DmaSpan segment = buffer.span().part(0, std::min(step, total - start.size()));
        if (const BlockStatus status = co_await io.read(start.size(), segment); status != BlockStatus::ok)
            throw Error({.kind = ErrorKind::io,
                         .action = "read the start of",
                         .subject = info.model,
                         .cause = to_string(status),
                         .remedy = {}});
        start.insert(start.end(), segment.bytes().begin(), segment.bytes().end());
    }
    co_return start;
}

std::string_view known_content(std::span<const std::byte> start) noexcept {
    const auto* const match = std::find_if(signatures.begin(), signatures.end(),
                                           [&](const Signature& s) { return found(s, start); });
    return match == signatures.end() ? std::string_view{} : match->name;
}

}  // namespace outboard
