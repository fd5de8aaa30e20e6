#include "outboard/backend/vfio/granted_space.hpp"

#include "outboard/base/error.hpp"

#include <fmt/format.h>

namespace outboard::vfio {

void GrantedSpace::map(const DmaMapping& mapping) {
    const std::uint64_t size = mapping.memory.size();
    if (mapping.iova >= granted_.first && mapping.iova <= granted_.last && size != 0 &&
        size - 1 <= granted_.last - mapping.iova)
        return;
    throw Error({.kind = ErrorKind::not_permitted,
                 .action = fmt::format("map {} bytes at IOVA {:#x} for", size, mapping.iova),
                 .subject = device_,
                 .cause = "this process was given the arena and may map no other memory",
                 .remedy = "use memory of the arena"});
}

}  // namespace outboard::vfio
