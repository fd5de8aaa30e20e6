// Starting the other programs of a supervisor.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace outboard {

/// Where a started program finds the descriptor that it is given.
inline constexpr int spawned_descriptor = 3;

/// Starts a program in a session of its own, with signals as usual, nothing to read, and one descriptor.
/// Returns its process number. Throws Error.
int spawn(const std::filesystem::path& program, std::vector<std::string> arguments, int descriptor);

}  // namespace outboard
