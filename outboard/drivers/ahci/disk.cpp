#include "outboard/drivers/ahci/disk.hpp"

#include "outboard/base/error.hpp"

namespace outboard::ahci {

namespace {

[[noreturn]] void refuse_queue(ErrorKind kind, const std::string& name, std::string cause,
                               std::string remedy) {
    throw outboard::Error({.kind = kind,
                           .action = "open a queue of",
                           .subject = "the disk at " + name,
                           .cause = std::move(cause),
                           .remedy = std::move(remedy)});
}

}  // namespace

Disk::Disk(Port& port, DmaArena& arena, RunLoop& loop)
    : port_(port), arena_(arena), loop_(loop), info_(port.info()) {}

std::unique_ptr<BlockQueue> Disk::open_queue(RunLoop& loop) {
    if (&loop != &loop_)
        refuse_queue(ErrorKind::usage, port_.name(),
                     "the ports share the registers and the interrupt of one HBA, and thus one thread",
                     "open it on the loop on which the driver was started");
    if (open_)
        refuse_queue(ErrorKind::busy, port_.name(), "its only queue is open already", {});
    if (!port_.open())
        refuse_queue(ErrorKind::not_found, port_.name(), "it has gone, or was given up", {});
    return std::make_unique<DiskQueue>(*this);
}

}  // namespace outboard::ahci
