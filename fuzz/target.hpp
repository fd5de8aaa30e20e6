// What a target defines.
#pragma once

#include "fuzz/input.hpp"

namespace outboard::fuzz {

/// One execution. Returns whatever the input is; what does not hold ends the process.
void run(Input input);

}  // namespace outboard::fuzz
