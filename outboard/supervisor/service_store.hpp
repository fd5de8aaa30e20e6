// The keeper of descriptors where the service manager is one: systemd's descriptor store.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/supervisor/descriptor_keeper.hpp"
#include "outboard/supervisor/service_manager.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace outboard {

/// The store keeps descriptors with names and knows nothing of what belongs together, so the state of an
/// entry is a file in memory that is stored too, and that names the others. An entry whose state came into
/// the store is whole: one is replaced by storing the next before the one before is taken out.
class ServiceStore final : public DescriptorKeeper {
  public:
    /// Begins with what the manager has kept. It outlives this object. Throws Error.
    explicit ServiceStore(ServiceManager& manager);

    std::vector<KeptEntry> list() override;
    void put(const std::string& name, const nlohmann::json& state, std::span<const int> descriptors) override;
    void remove(const std::string& name) override;
    void dismiss() override;

  private:
    struct Entry {
        std::uint64_t number = 0;  ///< of its state
        nlohmann::json state;
        std::vector<NamedDescriptor> descriptors;  ///< copies, by which they are known again

        bool names(const std::string& name) const;
    };

    void drop(const Entry& entry, const Entry& left);

    ServiceManager* manager_;
    std::map<std::string, Entry> entries_;
    std::uint64_t next_ = 1;
};

}  // namespace outboard
