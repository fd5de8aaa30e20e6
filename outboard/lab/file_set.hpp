// The files of a part of the initramfs: first listed, then written as a cpio archive, so that no root is
// needed.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace outboard::lab {

/// A set of files by their paths in the guest ("/usr/bin/fio"), all owned by root. Parent directories come by
/// themselves. A later entry replaces an earlier one of the same path.
class FileSet {
  public:
    /// An empty directory with permissions such as 01777.
    void add_directory(const std::string& path, unsigned mode = 0755);
    /// A symbolic link.
    void add_link(const std::string& path, const std::string& target);
    /// A file with the content given.
    void add_text(const std::string& path, const std::string& text, unsigned mode = 0644);
    /// A file of the host, read when the archive is written; permissions 0755 or 0644 as it is executable or
    /// not.
    void add_file(const std::string& path, const std::filesystem::path& source);
    /// The same for a compressed file, which is decompressed.
    void add_compressed(const std::string& path, const std::filesystem::path& source);
    /// A file, or a directory with all that is in it.
    void add_tree(const std::string& path, const std::filesystem::path& source);
    /// A program of the host with the shared libraries it needs, at their own paths. Throws Error.
    void add_program(const std::string& path, const std::filesystem::path& program);
    /// Shared libraries, as shared_libraries() lists them; those that are there already stay.
    void add_libraries(const std::map<std::string, std::filesystem::path>& libraries);

    /// Whether there is an entry of that path.
    bool contains(const std::string& path) const { return items_.contains(path); }
    /// A text that differs whenever the archive would: names, permissions, and size and time of host files.
    std::string description() const;
    /// Writes the set as an uncompressed cpio archive (newc) that the kernel unpacks. Throws Error.
    void write_cpio(const std::filesystem::path& target) const;

  private:
    enum class Kind { directory, link, text, file, compressed };
    struct Item {
        Kind kind = Kind::text;
        unsigned mode = 0644;
        std::string text;  // content, link target or host path
    };

    std::map<std::string, Item> items_;
};

/// The shared libraries that a program needs, by their paths on the host, its dynamic loader included; none
/// when it is static or a script. Throws Error when one is missing.
std::map<std::string, std::filesystem::path> shared_libraries(const std::filesystem::path& program);

}  // namespace outboard::lab
