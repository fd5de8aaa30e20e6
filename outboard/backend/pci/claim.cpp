#include "outboard/backend/pci/claim.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>

namespace outboard {

DeviceClaim::DeviceClaim(const PciDevice& device) : folder_(open_file(device.path, O_RDONLY | O_DIRECTORY)) {
    if (::flock(folder_.get(), LOCK_EX | LOCK_NB) == 0)
        return;
    const int error = errno;
    if (error != EWOULDBLOCK)
        throw_errno(error, "lock", device.path.string());
    throw Error({.kind = ErrorKind::busy,
                 .action = "take",
                 .subject = device.address.text(),
                 .cause = "another process of this program drives it, or is about to take it or give it back",
                 .remedy = "wait for that process, or end it"});
}

}  // namespace outboard
