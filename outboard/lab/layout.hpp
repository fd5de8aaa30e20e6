// Where the lab keeps its parts, and what it says while it fetches them.
#pragma once

#include "outboard/base/fd.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace outboard::lab {

/// The directory of the lab's parts: `given` when it is not empty, else $OUTBOARD_LAB_DIR, else build/lab of
/// the source tree that the running program was built from, else outboard/lab in the user's cache directory.
/// It is created. Throws Error when that fails.
std::filesystem::path lab_directory(const std::filesystem::path& given);

/// The directory of the running program: the project's other programs are beside it.
std::filesystem::path program_directory();

/// Holds a lock file for as long as it lives, so that two labs never build the same part at once.
class PartsLock {
  public:
    /// Waits for the lock `directory`/lock at most 20 minutes. Throws Error.
    explicit PartsLock(const std::filesystem::path& directory);

  private:
    Fd fd_;
};

/// Prints one line on standard error: what is being fetched or built, so that nobody wonders.
void progress(const std::string& line);

/// Builds `target` (a file or directory) once: `build` makes it under a temporary name that is given to it,
/// which is then renamed. What others see is therefore nothing or the whole. A failed build leaves nothing
/// behind.
void build_once(const std::filesystem::path& target,
                const std::function<void(const std::filesystem::path& temporary)>& build);

/// A 64-bit digest of some text, in hexadecimal: names cached parts after what they are made of.
std::string digest(const std::string& text);

/// "path size mtime" of a file: what digest() takes in place of its content. Throws Error when there is no
/// such file.
std::string file_stamp(const std::filesystem::path& path);

}  // namespace outboard::lab
