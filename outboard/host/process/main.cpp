// outboard-host: the process of one driver. A supervisor starts it with a socket as descriptor 3 and tells it
// everything else there.
#include "outboard/base/error.hpp"
#include "outboard/base/packet_socket.hpp"
#include "outboard/host/forward_progress.hpp"
#include "outboard/host/process/hosted_device.hpp"
#include "outboard/runtime/ring_stock.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include <fcntl.h>

namespace {

constexpr int supervisor_socket = 3;

void tell(const std::string& line) {
    std::fprintf(stderr, "outboard-host: %s\n", line.c_str());
}

}  // namespace

int main() {
    using outboard::Error;
    using outboard::ErrorKind;
    // Whoever ends it is the supervisor, which also gets what is typed at its terminal.
    std::signal(SIGINT, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
    try {
        if (::fcntl(supervisor_socket, F_GETFD) < 0) {
            tell("this program is started by outboardd; `outboard run` drives a device by hand");
            return static_cast<int>(ErrorKind::usage);
        }
        if (const std::string warning = outboard::begin_forward_progress(); !warning.empty())
            tell(warning);
        for (const std::string& warning : outboard::secure_forward_progress())
            tell(warning);
        // It goes into the sandbox with the others.
        outboard::RingStock ring(1, {.provided_buffers = true});
        outboard::RunLoop loop({.stock = &ring});
        loop.run(outboard::host_device(loop, outboard::PacketSocket(outboard::Fd(supervisor_socket))));
        return 0;
    } catch (const outboard::Cancelled&) {
        tell("it was stopped");
    } catch (const Error& error) {
        tell(error.what());
        return error.exit_status();
    } catch (const std::exception& error) {
        tell(error.what());
    }
    return static_cast<int>(ErrorKind::failed);
}
