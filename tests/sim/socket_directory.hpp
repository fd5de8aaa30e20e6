// A directory for the sockets of a test.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace outboard::test {

/// A new directory, with a path short enough for sockets, and all that is in it.
class SocketDirectory {
  public:
    SocketDirectory() {
        std::string name = "/tmp/outboard-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("no directory for sockets");
        directory_ = name;
    }
    ~SocketDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    }
    SocketDirectory(const SocketDirectory&) = delete;
    SocketDirectory& operator=(const SocketDirectory&) = delete;
    SocketDirectory(SocketDirectory&&) = delete;
    SocketDirectory& operator=(SocketDirectory&&) = delete;

    std::filesystem::path path(const std::string& name) const { return directory_ / name; }

  private:
    std::filesystem::path directory_;
};

}  // namespace outboard::test
