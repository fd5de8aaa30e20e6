#include "outboard/lab/file_set.hpp"

#include "outboard/base/error.hpp"
#include "outboard/lab/bzimage.hpp"
#include "outboard/lab/layout.hpp"
#include "outboard/lab/process.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <fmt/format.h>
#include <unistd.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

std::string read_bytes(const fs::path& path) {
    const std::ifstream file(path, std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    if (!file)
        throw_errno(errno, "read", path.string());
    return std::move(bytes).str();
}

// The path of the dynamic loader that a 64-bit ELF program names, or nothing.
std::string interpreter(const fs::path& program) {
    std::ifstream file(program, std::ios::binary);
    Elf64_Ehdr header{};
    if (!file.read(reinterpret_cast<char*>(&header), sizeof header) ||
        std::memcmp(static_cast<const void*>(header.e_ident), ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64)
        return {};
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr segment{};
        file.seekg(static_cast<std::streamoff>(header.e_phoff + std::uint64_t{i} * header.e_phentsize));
        if (!file.read(reinterpret_cast<char*>(&segment), sizeof segment))
            return {};
        constexpr std::uint64_t longest_path = 4096;
        if (segment.p_type != PT_INTERP || segment.p_filesz == 0 || segment.p_filesz > longest_path)
            continue;
        std::string path(segment.p_filesz - 1, '\0');
        file.seekg(static_cast<std::streamoff>(segment.p_offset));
        if (!file.read(path.data(), static_cast<std::streamsize>(path.size())))
            return {};
        return path;
    }
    return {};
}

// In the guest /bin, /sbin, /lib and /lib64 are links into /usr, as Debian has them.
std::string merged(const std::string& path) {
    for (const char* top : {"/bin/", "/sbin/", "/lib/", "/lib64/"})
        if (path.starts_with(top))
            return "/usr" + path;
    return path;
}

struct WriteCloser {
    void operator()(archive* writer) const noexcept { archive_write_free(writer); }
};
struct EntryCloser {
    void operator()(archive_entry* entry) const noexcept { archive_entry_free(entry); }
};

}  // namespace

std::map<std::string, fs::path> shared_libraries(const fs::path& program) {
    const std::string loader = interpreter(program);
    if (loader.empty())
        return {};
    std::map<std::string, fs::path> result{{loader, loader}};
    std::istringstream lines(
        run_command({.argv = {loader, "--list", program.string()}, .environment = {}, .directory = {}},
                    "list the libraries of", program.string()));
    // "NAME => PATH (ADDRESS)"; "linux-vdso.so.1 (ADDRESS)" has no file.
    for (std::string line; std::getline(lines, line);) {
        const std::size_t arrow = line.find("=> ");
        if (arrow == std::string::npos)
            continue;
        const std::string path = line.substr(arrow + 3, line.find(" (", arrow) - arrow - 3);
        if (!path.starts_with('/'))
            throw Error({.kind = ErrorKind::not_found,
                         .action = "find the libraries of",
                         .subject = program.string(),
                         .cause = line.substr(line.find_first_not_of(" \t")),
                         .remedy = "install the package that has it"});
        result.emplace(path, path);
    }
    return result;
}

void FileSet::add_directory(const std::string& path, unsigned mode) {
    items_[path] = {.kind = Kind::directory, .mode = mode, .text = {}};
}

void FileSet::add_link(const std::string& path, const std::string& target) {
    items_[path] = {.kind = Kind::link, .mode = 0777, .text = target};
}

void FileSet::add_text(const std::string& path, const std::string& text, unsigned mode) {
    items_[path] = {.kind = Kind::text, .mode = mode, .text = text};
}

void FileSet::add_file(const std::string& path, const fs::path& source) {
    if (!fs::is_regular_file(source))
        throw Error({.kind = ErrorKind::not_found,
                     .action = "copy into the guest",
                     .subject = source.string(),
                     .cause = "there is no such file",
                     .remedy = "check its path"});
    const bool executable = ::access(source.c_str(), X_OK) == 0;
    items_[path] = {.kind = Kind::file, .mode = executable ? 0755U : 0644U, .text = source.string()};
}

void FileSet::add_compressed(const std::string& path, const fs::path& source) {
    items_[path] = {.kind = Kind::compressed, .mode = 0644, .text = source.string()};
}

void FileSet::add_tree(const std::string& path, const fs::path& source) {
    if (!fs::is_directory(source)) {
        add_file(path, source);
        return;
    }
    add_directory(path);
    for (const auto& entry : fs::recursive_directory_iterator(source)) {
        const std::string inside = path + "/" + entry.path().lexically_relative(source).string();
        if (entry.is_symlink())
            add_link(inside, fs::read_symlink(entry.path()).string());
        else if (entry.is_directory())
            add_directory(inside);
        else if (entry.is_regular_file())
            add_file(inside, entry.path());
    }
}

void FileSet::add_libraries(const std::map<std::string, fs::path>& libraries) {
    for (const auto& [path, source] : libraries)
        if (!contains(merged(path)))
            add_file(merged(path), source);
}

void FileSet::add_program(const std::string& path, const fs::path& program) {
    add_file(path, program);
    items_[path].mode = 0755;
    add_libraries(shared_libraries(program));
}

std::string FileSet::description() const {
    std::string text;
    for (const auto& [path, item] : items_) {
        const bool on_host = item.kind == Kind::file || item.kind == Kind::compressed;
        text += fmt::format("{} {} {:o} {}\n", path, static_cast<int>(item.kind), item.mode,
                            on_host ? file_stamp(item.text) : item.text);
    }
    return text;
}

void FileSet::write_cpio(const fs::path& target) const {
    const std::unique_ptr<archive, WriteCloser> writer(archive_write_new());
    const auto check = [&](la_ssize_t result) {
        if (result < 0)
            throw Error({.kind = ErrorKind::io,
                         .action = "write",
                         .subject = target.string(),
                         .cause = archive_error_string(writer.get()),
                         .remedy = "see whether the disk is full"});
    };
    check(archive_write_set_format_cpio_newc(writer.get()));
    check(archive_write_open_filename(writer.get(), target.c_str()));
    const std::unique_ptr<archive_entry, EntryCloser> entry(archive_entry_new());
    std::set<std::string> directories{"/"};
    const auto put = [&](const std::string& path, unsigned type, unsigned mode, const std::string& content) {
        archive_entry_clear(entry.get());
        archive_entry_set_pathname(entry.get(), path.c_str() + 1);
        archive_entry_set_filetype(entry.get(), type);
        archive_entry_set_perm(entry.get(), mode);
        archive_entry_set_nlink(entry.get(), 1);
        if (type == AE_IFLNK)
            archive_entry_set_symlink(entry.get(), content.c_str());
        archive_entry_set_size(entry.get(), type == AE_IFREG ? static_cast<la_int64_t>(content.size()) : 0);
        check(archive_write_header(writer.get(), entry.get()));
        if (type == AE_IFREG && !content.empty())
            check(archive_write_data(writer.get(), content.data(), content.size()));
    };
    for (const auto& [path, item] : items_) {
        for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
             slash = path.find('/', slash + 1)) {
            const std::string parent = path.substr(0, slash);
            if (!contains(parent) && directories.insert(parent).second)
                put(parent, AE_IFDIR, 0755, {});
        }
        switch (item.kind) {
            case Kind::directory:
                put(path, AE_IFDIR, item.mode, {});
                break;
            case Kind::link:
                put(path, AE_IFLNK, item.mode, item.text);
                break;
            case Kind::text:
                put(path, AE_IFREG, item.mode, item.text);
                break;
            case Kind::file:
                put(path, AE_IFREG, item.mode, read_bytes(item.text));
                break;
            case Kind::compressed:
                put(path, AE_IFREG, item.mode, decompress(read_bytes(item.text)));
                break;
        }
    }
    check(archive_write_close(writer.get()));
}

}  // namespace outboard::lab
