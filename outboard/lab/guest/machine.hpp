// What the first program of the guest does once: mounts, modules, ports.
#pragma once

#include "outboard/base/fd.hpp"

#include <set>
#include <string>
#include <vector>

namespace outboard::lab::guest {

/// Mounts /proc, /sys, /dev and the rest, and makes the links in /dev that programs expect. Throws Error.
void mount_file_systems();

/// Names the machine and brings the loopback interface up. Throws Error.
void set_up_network_names();

/// Loads modules by name or alias and waits until that is done. Those that do not exist are passed over, as a
/// kernel may have them built in, and a test may have left them out.
void load_modules(const std::vector<std::string>& names);

/// Loads the drivers of devices, those that are there and those that come.
class DriverLoader {
  public:
    /// Listens to the kernel's announcements of devices. Throws Error.
    DriverLoader();
    /// Loads `names` and the drivers of all devices, until no more devices come.
    void load_all(std::vector<std::string> names);
    /// Readable when the kernel has announced something; owned by this object.
    int fd() const noexcept { return events_.get(); }
    /// Reads what the kernel has announced and loads the drivers of new devices.
    void handle();

  private:
    std::vector<std::string> read_announcements();
    std::vector<std::string> new_aliases();

    Fd events_;
    std::set<std::string> known_;
};

/// The device of the virtio-serial port of that name: "/dev/vport1p1". Waits for it 10 s; throws Error.
std::string find_port(const std::string& name);

}  // namespace outboard::lab::guest
