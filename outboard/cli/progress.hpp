// How far a long piece of work is, on standard error.
#pragma once

namespace outboard::cli {

/// A bar that is drawn over itself, and wiped when it goes; nothing where standard error is no terminal.
class ProgressBar {
  public:
    ProgressBar() noexcept;
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;
    ProgressBar(ProgressBar&&) = delete;
    ProgressBar& operator=(ProgressBar&&) = delete;
    ~ProgressBar();

    /// Somebody sees it.
    bool shown() const noexcept { return shown_; }
    /// `part` is 0 … 1.
    void show(double part) const noexcept;

  private:
    bool shown_;
};

}  // namespace outboard::cli
