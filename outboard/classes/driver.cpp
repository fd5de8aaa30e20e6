#include "outboard/classes/driver.hpp"

#include "outboard/base/error.hpp"

#include <utility>

namespace outboard {

Task<std::optional<DiskHealth>> Driver::read_health() {
    co_return std::nullopt;
}

void refuse_device(const std::string& name, std::string cause, std::string remedy) {
    throw Error({.kind = ErrorKind::unsupported,
                 .action = "drive",
                 .subject = name,
                 .cause = std::move(cause),
                 .remedy = std::move(remedy)});
}

}  // namespace outboard
