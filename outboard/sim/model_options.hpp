// How models are made by name, with options that a user gives as text.
#pragma once

#include "outboard/runtime/clock.hpp"
#include "outboard/sim/fault_plan.hpp"
#include "outboard/sim/pci_model.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace outboard::sim {

/// An option of a model: `--NAME VALUE` of `outboard sim`.
struct OptionDescription {
    std::string_view name;
    std::string_view value;  ///< what holds when it is not given
    std::string_view help;
};

/// Options and their values. Readers throw Error (kind usage) when the value is not of that sort.
class ModelOptions {
  public:
    /// All with the value that holds when they are not given.
    explicit ModelOptions(std::span<const OptionDescription> options);

    /// `name` is one of the options.
    void set(std::string_view name, std::string value);

    const std::string& text(std::string_view name) const;
    /// "4096", "0x1000".
    std::uint64_t number(std::string_view name) const;
    /// "512", "4K", "1M", "2G", "1T": powers of 1024.
    std::uint64_t bytes(std::string_view name) const;
    /// "10ns", "10us", "100ms", "2s".
    Duration duration(std::string_view name) const;
    /// "on", "off".
    bool flag(std::string_view name) const;

  private:
    std::map<std::string, std::string, std::less<>> values_;
};

/// A kind of device that can be simulated.
struct ModelDescription {
    std::string_view name;
    std::string_view summary;  ///< half a sentence for a list
    std::span<const OptionDescription> options;
    std::span<const FaultKind> faults{};  ///< kinds of fault that it can have
    /// Throws Error.
    std::unique_ptr<PciModel> (*make)(const ModelOptions& options);
};

/// Throws Error (kind usage) that lists the kinds of fault of a model when a plan has another one.
void require_possible(const FaultPlan& plan, const ModelDescription& model);

}  // namespace outboard::sim
