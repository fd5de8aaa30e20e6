#include "outboard/classes/attention.hpp"

#include "outboard/base/error.hpp"

#include <exception>

#include <sys/eventfd.h>

namespace outboard {

Attention::Attention(std::function<void(std::string_view)> report)
    : report_(std::move(report)), bell_(::eventfd(0, EFD_CLOEXEC)) {
    if (!bell_)
        throw_errno(errno, "create", "an eventfd for a driver");
}

void Attention::wake() noexcept {
    ::eventfd_write(bell_.get(), 1);
}

void Attention::tell(std::string_view text) noexcept {
    if (!report_)
        return;
    if (std::this_thread::get_id() == thread_) {
        report(text);
        return;
    }
    try {
        const std::scoped_lock lock(mutex_);
        lines_.emplace_back(text);
    } catch (const std::exception&) {
        return;
    }
    wake();
}

void Attention::deliver() noexcept {
    std::vector<std::string> lines;
    {
        const std::scoped_lock lock(mutex_);
        lines.swap(lines_);
    }
    for (const std::string& line : lines)
        report(line);
}

void Attention::report(std::string_view text) noexcept {
    try {
        if (report_)
            report_(text);
    } catch (const std::exception&) {
        // A listener that fails must not take the disk with it.
        return;
    }
}

}  // namespace outboard
