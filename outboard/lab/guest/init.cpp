// The first program of the lab's guest: makes the machine ready, runs one command, tells the host how it
// ended.
#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/lab/channel.hpp"
#include "outboard/lab/guest/machine.hpp"
#include "outboard/lab/guest/session.hpp"

#include <cerrno>
#include <cstdio>
#include <exception>

#include <fcntl.h>
#include <sys/reboot.h>
#include <unistd.h>

namespace {

using namespace outboard::lab;
using namespace outboard::lab::guest;

double uptime() {
    return std::stod(outboard::read_text("/proc/uptime"));
}

void run() {
    mount_file_systems();
    set_up_network_names();
    const Request request = parse_request(outboard::read_text(request_path));
    load_modules({"virtio_pci", "virtio_console"});
    const outboard::Fd port = outboard::open_file(find_port(port_name), O_RDWR);
    DriverLoader loader;
    Session session(port.get(), loader);
    session.send_event({{"event", "boot"}, {"uptime", uptime()}});
    loader.load_all(request.modules);
    session.send_event({{"event", "start"}, {"uptime", uptime()}});
    const int status = session.run(request);
    session.send_files(request.get);
    session.send_event({{"event", "exit"}, {"status", status}});
    // The host ends the machine; this is for a host that does not.
    ::sleep(30);
}

}  // namespace

int main() {
    try {
        run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "lab: %s\n", error.what());
    }
    ::reboot(RB_POWER_OFF);
    return 1;
}
