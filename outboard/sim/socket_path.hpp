// The socket file that a server listens on.
#pragma once

#include "outboard/base/fd.hpp"

#include <filesystem>

#include <sys/types.h>

namespace outboard::sim {

/// Listens on a UNIX stream socket at a path, which only this user may connect to (mode 0600); a socket that
/// a dead server left there is replaced. When it goes the file goes, unless somebody else's lies there by
/// then.
class SocketPath {
  public:
    /// Throws Error: busy when a server listens there already, or something that is no socket lies there.
    explicit SocketPath(std::filesystem::path path);
    SocketPath(const SocketPath&) = delete;
    SocketPath& operator=(const SocketPath&) = delete;
    SocketPath(SocketPath&&) = delete;
    SocketPath& operator=(SocketPath&&) = delete;
    ~SocketPath();

    const std::filesystem::path& path() const noexcept { return path_; }
    int fd() const noexcept { return socket_.get(); }

  private:
    std::filesystem::path path_;
    Fd socket_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace outboard::sim
