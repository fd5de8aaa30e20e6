// What a driver does that the standards leave undefined: counted, and told to whoever listens.
#pragma once

#include "outboard/sim/counter.hpp"

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

namespace outboard::sim {

/// One for a controller. Used by the thread that serves it; the count is read by any.
class IdeBreaches {
  public:
    /// `report` gets half a sentence for each; may be empty.
    explicit IdeBreaches(std::function<void(std::string_view)> report) : report_(std::move(report)) {}

    void add(std::string_view what) {
        ++count_;
        if (report_)
            report_(what);
    }
    std::uint64_t count() const noexcept { return count_; }

  private:
    std::function<void(std::string_view)> report_;
    Counter count_;
};

}  // namespace outboard::sim
