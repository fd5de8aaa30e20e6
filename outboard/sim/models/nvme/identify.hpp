// What a controller says of itself and of its namespaces (NVM Express base specification 1.4, 5.15).
#pragma once

#include "outboard/sim/models/nvme/data.hpp"
#include "outboard/sim/models/nvme/namespaces.hpp"
#include "outboard/sim/models/nvme/options.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace outboard::sim::nvme {

inline constexpr std::uint16_t vendor_id = 0x1234;
inline constexpr std::uint16_t device_id = 0x4e56;
inline constexpr unsigned abort_limit = 4;

using IdentifyPage = std::array<std::byte, identify_bytes>;

ControllerData make_controller_data(const Options& options, const Namespaces& namespaces);
/// `id` is that of the namespace.
NamespaceData make_namespace_data(const Namespace& name_space, const Options& options, std::uint32_t id);
/// The identifiers above `after`, ascending.
IdentifyPage make_namespace_list(const Namespaces& namespaces, std::uint32_t after);
IdentifyPage make_namespace_descriptors(const NamespaceData& data);

}  // namespace outboard::sim::nvme
