#include "outboard/supervisor/host_user.hpp"

#include <pwd.h>
#include <unistd.h>

namespace outboard {

SandboxUser host_user() {
    constexpr uid_t nobody = 65534;
    if (::geteuid() != 0)
        return {};
    if (const passwd* const found = ::getpwnam("outboard-host"); found != nullptr && found->pw_uid != 0)
        return {.user = found->pw_uid, .group = found->pw_gid};
    return {.user = nobody, .group = nobody};
}

}  // namespace outboard
