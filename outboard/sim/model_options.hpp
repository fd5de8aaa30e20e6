// How models are made by name, with options that a user gives as text.
#pragma once

#include "outboard/runtime/clock.hpp"
#include "outboard/sim/fault_plan.hpp"
#include "outboard/sim/pci_model.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
    /// "4096", "0x1000"; at most `most`.
    std::uint64_t number(std::string_view name,
                         std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) const;
    /// The same, as far as T reaches.
    template <class T>
    T number_as(std::string_view name) const {
        return static_cast<T>(number(name, std::numeric_limits<T>::max()));
    }
    /// "512", "4K", "1M", "2G", "1T": powers of 1024.
    std::uint64_t bytes(std::string_view name) const;
    /// "10ns", "10us", "100ms", "2s".
    Duration duration(std::string_view name) const;
    /// "on", "off".
    bool flag(std::string_view name) const;
    /// What stands between commas; nothing of an empty value.
    std::vector<std::string> parts(std::string_view name) const;
    /// The same options with part `index` of one alone; its last part holds for all after it. Throws Error
    /// (kind usage) when it has more parts than the `count` things that it is about.
    ModelOptions with_part(std::string_view name, std::size_t index, std::size_t count) const;

    /// For a value that cannot be used. Throws Error (kind usage); `cause` as in "it is not 1 to 4".
    [[noreturn]] void refuse(std::string_view name, std::string_view cause) const;

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
