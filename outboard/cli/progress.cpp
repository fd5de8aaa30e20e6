#include "outboard/cli/progress.hpp"

#include <algorithm>
#include <cstdio>

#include <unistd.h>

namespace outboard::cli {

ProgressBar::ProgressBar() noexcept : shown_(::isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
    if (shown_)
        std::fputs("\r\033[K", stderr);
}

void ProgressBar::show(double part) const noexcept {
    constexpr int width = 40;
    constexpr const char* full = "########################################";
    if (!shown_)
        return;
    const double bounded = std::clamp(part, 0.0, 1.0);
    std::fprintf(stderr, "\r[%-*.*s] %3.0f %%", width, static_cast<int>(bounded * width), full,
                 bounded * 100);
}

}  // namespace outboard::cli
