// What a supervisor and the host of a driver say to each other, over a socket of packets: a JSON object each,
// with descriptors where it says so. docs/supervisor.md describes the order. Neither relies on the other: a
// message that cannot be understood is an Error.
#pragma once

#include "outboard/base/error.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/classes/driver.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace outboard::hosting {

/// Of this protocol; both ends are of one version.
inline constexpr unsigned protocol_version = 2;

// ---- supervisor to host ----

/// Enter the sandbox, and load the driver in it where that is a module. The first message: a spare is in its
/// sandbox long before it gets a device. Descriptor: the module's file, where there is one.
struct Enter {
    std::string module;          ///< the path of the driver's module; empty: it is built in
    std::string driver;          ///< its name in the module
    std::uint32_t user = 0;      ///< who the host is to be from then on; 0: who it is
    std::uint32_t group = 0;     ///< with `user`
    unsigned disks = 1;          ///< that it will serve at most
    std::uint16_t queues = 1;    ///< of each disk
    bool device_socket = false;  ///< the device will be a socket
};

/// Which device to drive, and how. Descriptor: that of a VFIO device, or a socket connected to a vfio-user
/// server.
struct Take {
    std::string device;  ///< what messages call it: a full BDF, or vfio-user:PATH
    std::string driver;  ///< its name; empty: the module's, or whichever knows the device
    std::vector<unsigned> disks{0};
    std::uint16_t queues = 1;  ///< of each disk, as far as the driver makes several
    std::uint16_t queue_depth = 32;
    std::optional<bool> write_cache;
    unsigned timeout_seconds = 0;  ///< of one command; 0: the driver's own
    bool dma = true;
    CompletionMode completion = CompletionMode::adaptive;
};

/// The memory for DMA. Descriptor: its file, which the device reaches at `iova`.
struct Arena {
    std::uint64_t bytes = 0;
    std::uint64_t iova = 0;
};

/// Serve a disk. Descriptor: the file of its ublk device.
struct Serve {
    unsigned disk = 0;
    std::uint32_t device_id = 0;
    std::uint16_t queues = 1;
    std::uint16_t queue_depth = 32;
    std::uint32_t max_io_bytes = 0;
    std::uint64_t flags = 0;
    bool stable_writes = false;
};

/// Answered when every loop of the host has turned.
struct Ping {
    std::uint64_t number = 0;
};

/// The block devices are about to be stopped: that their queues end is no failure any more. Answered by
/// Ceasing.
struct Cease {};

/// They were: bring the device to rest, say Finished and end.
struct Finish {};

using ToHost = std::variant<Enter, Take, Arena, Serve, Ping, Cease, Finish>;

// ---- host to supervisor ----

/// The first message: it is ready to be given a device.
struct Hello {
    unsigned version = protocol_version;
};

/// The driver was chosen.
struct Needs {
    std::string driver;
    std::uint64_t bytes = 0;  ///< of DMA memory
    unsigned address_bits = 64;
};

struct Disk {
    unsigned number = 0;
    BlockInfo info;
};

/// The driver is at work. `start_us` is how long the device took to get there.
struct Disks {
    std::vector<Disk> disks;  ///< those that were asked for
    std::uint64_t start_us = 0;
};

/// All requests of the disk have been asked for.
struct Serving {
    unsigned disk = 0;
};

struct Pong {
    std::uint64_t number = 0;
};

/// What the driver has to say to people.
struct Report {
    std::string line;
};

/// Why it is about to end.
struct Failed {
    int kind = 1;  ///< an ErrorKind
    std::string action;
    std::string subject;
    std::string cause;
    std::string remedy;
};

/// The block devices may be stopped.
struct Ceasing {};

/// The device is at rest.
struct Finished {};

using FromHost = std::variant<Hello, Needs, Disks, Serving, Pong, Report, Failed, Ceasing, Finished>;

/// One packet's text.
std::string encode(const ToHost& message);
std::string encode(const FromHost& message);

/// The reverse. Throw Error for text that is no such message.
ToHost decode_to_host(std::string_view text);
FromHost decode_from_host(std::string_view text);

/// An Error as a message, and as the Error that it was.
Failed describe(const Error& error);
Error error_of(const Failed& failed);

/// Throws Error when a disk's description contradicts itself: the parameters of a block device are worked out
/// from it.
void require_sound(const BlockInfo& info, const std::string& device);

}  // namespace outboard::hosting
