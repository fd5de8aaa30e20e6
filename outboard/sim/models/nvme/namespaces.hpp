// The namespaces of a controller.
#pragma once

#include "outboard/sim/models/nvme/commands.hpp"
#include "outboard/sim/storage.hpp"

#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

namespace outboard::sim::nvme {

struct Namespace {
    explicit Namespace(const StorageOptions& options)
        : storage(options),
          block_shift(static_cast<unsigned>(std::countr_zero(options.block_size))),
          blocks(storage.size() >> block_shift) {}

    Storage storage;
    unsigned block_shift;
    std::uint64_t blocks;
    std::uint32_t error_recovery = 0;  ///< the feature's value
};

/// Numbered from 1 on, without gaps.
class Namespaces {
  public:
    /// Throws Error.
    explicit Namespaces(const std::vector<StorageOptions>& options) {
        for (const StorageOptions& storage : options) {
            all_.push_back(std::make_unique<Namespace>(storage));
            write_cache_ = write_cache_ || storage.write_cache != 0;
        }
    }

    std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(all_.size()); }
    /// Null when there is none of this number.
    Namespace* find(std::uint32_t id) const noexcept {
        return id - 1 < all_.size() ? all_[id - 1].get() : nullptr;
    }
    bool has_write_cache() const noexcept { return write_cache_; }

    /// False when one of them failed.
    bool flush() const noexcept {
        bool complete = true;
        for (const auto& name_space : all_)
            complete &= name_space->storage.flush() == 0;
        return complete;
    }

  private:
    std::vector<std::unique_ptr<Namespace>> all_;
    bool write_cache_ = false;
};

}  // namespace outboard::sim::nvme
