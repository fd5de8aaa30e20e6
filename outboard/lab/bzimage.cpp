#include "outboard/lab/bzimage.hpp"

#include "outboard/base/error.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

#include <archive.h>
#include <archive_entry.h>

namespace outboard::lab {

namespace {

[[noreturn]] void damaged(const std::string& cause) {
    throw Error({.kind = ErrorKind::failed,
                 .action = "read",
                 .subject = "a kernel image",
                 .cause = cause,
                 .remedy = "remove it from the lab's directory, so that it is fetched again"});
}

std::uint32_t little(std::string_view bytes, std::size_t offset, std::size_t size) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
        value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes.at(offset + i))) << (8 * i);
    return value;
}

struct ReadCloser {
    void operator()(archive* reader) const noexcept { archive_read_free(reader); }
};

}  // namespace

std::string decompress(std::string_view bytes) {
    const std::unique_ptr<archive, ReadCloser> reader(archive_read_new());
    archive_read_support_filter_all(reader.get());
    archive_read_support_format_raw(reader.get());
    archive_entry* entry = nullptr;
    if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK ||
        archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK)
        damaged(archive_error_string(reader.get()));
    if (archive_filter_count(reader.get()) < 2)
        damaged("it is not compressed in a known way");
    std::string text;
    constexpr std::size_t chunk = std::size_t{1} << 20;
    for (;;) {
        const std::size_t filled = text.size();
        text.resize(filled + chunk);
        const la_ssize_t count = archive_read_data(reader.get(), text.data() + filled, chunk);
        text.resize(filled + static_cast<std::size_t>(count > 0 ? count : 0));
        if (count < 0)
            damaged(archive_error_string(reader.get()));
        if (count == 0)
            return text;
    }
}

std::string_view bzimage_payload(std::string_view image) {
    // Documentation/arch/x86/boot.rst: setup_sects 0x1f1, magic 0x202, version 0x206, payload 0x248 and
    // 0x24c.
    constexpr std::size_t sector = 512;
    if (image.size() < 0x250 || image.substr(0x202, 4) != "HdrS")
        damaged("it is not a bzImage");
    if (little(image, 0x206, 2) < 0x208)
        damaged("its boot protocol is older than 2.08");
    const std::size_t setup_sectors = little(image, 0x1f1, 1) == 0 ? 4 : little(image, 0x1f1, 1);
    const std::size_t start = (setup_sectors + 1) * sector + little(image, 0x248, 4);
    const std::size_t length = little(image, 0x24c, 4);
    // The payload ends with the size of what it decompresses to, which is not part of the stream.
    constexpr std::size_t trailer = 4;
    if (length <= trailer || start + length > image.size())
        damaged("its header contradicts its size");
    return image.substr(start, length - trailer);
}

std::string vmlinux_of(std::string_view image) {
    std::string kernel = decompress(bzimage_payload(image));
    if (!kernel.starts_with("\177ELF"))
        damaged("what it holds is not an ELF program");
    return kernel;
}

}  // namespace outboard::lab
