// The kernel proper inside a bzImage.
#pragma once

#include <string>
#include <string_view>

namespace outboard::lab {

/// Undoes gzip, xz, zstd, lz4, bzip2 or lzma compression, whichever it is; bytes after the compressed stream
/// are ignored. Throws Error when it is none of these or damaged.
std::string decompress(std::string_view bytes);

/// The compressed payload of a bzImage, from its boot protocol header (version 2.08 or newer). Throws Error
/// when it is not a bzImage or its header contradicts its size.
std::string_view bzimage_payload(std::string_view image);

/// The ELF vmlinux inside a bzImage. QEMU boots that by PVH two seconds sooner than the bzImage, because the
/// guest need not decompress it. Throws Error.
std::string vmlinux_of(std::string_view image);

}  // namespace outboard::lab
