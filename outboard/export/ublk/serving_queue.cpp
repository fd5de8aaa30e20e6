#include "outboard/export/ublk/serving_queue.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/export/ublk/control.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

namespace outboard::ublk {

namespace {

constexpr std::size_t page_bytes = 4096;

std::size_t mapping_bytes(unsigned depth) {
    return (depth * sizeof(IoDescriptor) + page_bytes - 1) & ~(page_bytes - 1);
}

/// True when the user of the disk can run while this thread does.
bool several_processors() {
    cpu_set_t processors;
    return ::sched_getaffinity(0, sizeof processors, &processors) != 0 || CPU_COUNT(&processors) > 1;
}

}  // namespace

ServingQueue::Descriptors::Descriptors(int fd, unsigned depth) : depth_(depth) {
    // The whole process is locked into memory, and the kernel fills these pages in advance anyway.
    void* const memory = ::mmap(nullptr, mapping_bytes(depth), PROT_READ, MAP_SHARED | MAP_POPULATE, fd,
                                static_cast<off_t>(descriptor_offset));
    if (memory == MAP_FAILED)
        throw_errno(errno, "map", "the request descriptors of a ublk device");
    descriptors_ = static_cast<const IoDescriptor*>(memory);
}

ServingQueue::Descriptors::~Descriptors() {
    ::munmap(const_cast<IoDescriptor*>(descriptors_), mapping_bytes(depth_));
}

ServingQueue::ServingQueue(RunLoop& loop, BlockDevice& disk, const DeviceInfo& info, bool stable_writes)
    : loop_(&loop),
      file_(open_file(server_path(info.device_id), O_RDWR)),
      descriptors_(file_.get(), info.queue_depth),
      pool_(disk.arena(), info.max_io_bytes, info.queue_depth, page_bytes),
      table_(descriptors_.span(), buffers(), stable_writes),
      queue_(disk.open_queue(loop)),
      linger_(several_processors()) {
    tags_.reserve(info.queue_depth);
    for (std::uint16_t tag = 0; tag < info.queue_depth; ++tag)
        tags_.emplace_back(*this, tag);
    loop_->add_poller(*this);
}

ServingQueue::~ServingQueue() {
    loop_->remove_poller(*this);
}

void ServingQueue::abandon(std::unique_ptr<ServingQueue> queue) noexcept {
    ServingQueue* const left = queue.release();
    left->loop_->remove_poller(*left);
}

std::vector<DmaSpan> ServingQueue::buffers() const {
    std::vector<DmaSpan> spans(pool_.size());
    for (std::size_t tag = 0; tag < spans.size(); ++tag)
        spans[tag] = pool_[tag];
    return spans;
}

void ServingQueue::fetch_all() noexcept {
    for (std::size_t tag = 0; tag < tags_.size(); ++tag)
        prepare(command::fetch, static_cast<std::uint16_t>(tag), 0);
}

void ServingQueue::prepare(std::uint32_t operation, std::uint16_t tag, int result) noexcept {
    io_uring_sqe* const entry = loop_->prepare(tags_[tag]);
    entry->opcode = IORING_OP_URING_CMD;
    entry->fd = file_.get();
    entry->cmd_op = operation;
    const IoCommand command{.queue_id = 0,
                            .tag = tag,
                            .result = result,
                            .address = reinterpret_cast<std::uintptr_t>(pool_[tag].address)};
    std::memcpy(entry->cmd, &command, sizeof command);
    ++with_kernel_;
}

void ServingQueue::Tag::complete(int result, unsigned /*flags*/) noexcept {
    --queue_->with_kernel_;
    if (result == result_ok)
        queue_->table_.fetched(number_);
    else if (result != -ENODEV)
        queue_->refused(-result);
}

void ServingQueue::refused(int error) noexcept {
    if (error_ == 0)
        error_ = error;
    if (stops_loop_)
        loop_->stop();
}

TimePoint ServingQueue::poll(TimePoint now) noexcept {
    // The disk is given its next request in advance(), before the results are handed in: the kernel copies
    // their data in the io_uring_enter that follows, and the disk works meanwhile.
    for (const FinishedRequest& finished : table_.advance(*queue_)) {
        prepare(command::commit_and_fetch, finished.tag, finished.result);
        ++served_;
    }
    if (table_.outstanding() != 0) {
        if (pausing_)
            linger_.pause_ends(now);
        pausing_ = false;
        return table_.has_more() ? now : queue_->next_reap(now);
    }
    if (!pausing_)
        linger_.pause_begins(now);
    pausing_ = true;
    return now < linger_.until() ? now : TimePoint::max();
}

}  // namespace outboard::ublk
