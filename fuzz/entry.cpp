// Where libFuzzer calls a target.
#include <cstddef>
#include <cstdint>

#include "fuzz/target.hpp"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    outboard::fuzz::run(outboard::fuzz::Input(data, size));
    return 0;
}
