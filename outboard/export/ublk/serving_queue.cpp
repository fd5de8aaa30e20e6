#include "outboard/export/ublk/serving_queue.hpp"

#include "outboard/base/error.hpp"

#include <cerrno>
#include <utility>

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

namespace outboard::ublk {

namespace {

constexpr std::size_t page_bytes = 4096;

std::size_t mapping_bytes(unsigned depth) {
    return (depth * sizeof(IoDescriptor) + page_bytes - 1) & ~(page_bytes - 1);
}

/// True when the users of the disk can run while the threads of all its queues do.
bool more_processors_than(int queues) {
    cpu_set_t processors;
    return ::sched_getaffinity(0, sizeof processors, &processors) != 0 || CPU_COUNT(&processors) > queues;
}

std::vector<DmaSpan> blocks_of(const DmaPool& pool) {
    std::vector<DmaSpan> spans(pool.size());
    for (std::size_t tag = 0; tag < spans.size(); ++tag)
        spans[tag] = pool[tag];
    return spans;
}

}  // namespace

ServingQueue::Descriptors::Descriptors(int fd, unsigned queue, unsigned depth) : depth_(depth) {
    // The whole process is locked into memory, and the kernel fills these pages in advance anyway.
    void* const memory = ::mmap(nullptr, mapping_bytes(depth), PROT_READ, MAP_SHARED | MAP_POPULATE, fd,
                                static_cast<off_t>(descriptor_offset + queue * descriptor_stride));
    if (memory == MAP_FAILED)
        throw_errno(errno, "map", "the request descriptors of a ublk device");
    descriptors_ = static_cast<const IoDescriptor*>(memory);
}

ServingQueue::Descriptors::~Descriptors() {
    ::munmap(const_cast<IoDescriptor*>(descriptors_), mapping_bytes(depth_));
}

ServingQueue::ServingQueue(RunLoop& loop, BlockDevice& disk, const DmaPool& buffers, Setup setup)
    : loop_(&loop),
      setup_(std::move(setup)),
      descriptors_(setup_.file, setup_.number, setup_.info.queue_depth),
      buffers_(blocks_of(buffers)),
      table_(descriptors_.span(), buffers_, setup_.stable_writes),
      queue_(disk.open_queue(loop)),
      exchange_(make_exchange()),
      linger_(more_processors_than(setup_.info.queues)),
      retirement_(::eventfd(0, EFD_CLOEXEC)) {
    if (!retirement_)
        throw_errno(errno, "make", "an eventfd for a queue of a ublk device");
    loop_->add_poller(*this);
}

ServingQueue::~ServingQueue() {
    loop_->remove_poller(*this);
}

std::unique_ptr<Exchange> ServingQueue::make_exchange() {
    const ExchangeSetup setup{.loop = *loop_,
                              .file = setup_.file,
                              .queue = setup_.number,
                              .buffers = buffers_,
                              .table = table_,
                              .ended = [this](int result) { ended(result); }};
    return (setup_.info.flags & feature::batch_io) != 0 ? make_batch_exchange(setup)
                                                        : make_tag_exchange(setup);
}

void ServingQueue::ended(int result) noexcept {
    if (result != -ENODEV)
        setup_.refused(-result);
    if (retired())
        ::eventfd_write(retirement_.get(), 1);
}

Task<void> ServingQueue::retirement() {
    std::uint64_t count = 0;
    const int result = co_await loop_->event(retirement_.get(), count);
    if (result < 0)
        throw_errno(-result, "wait for", "the end of a queue of a ublk device");
}

TimePoint ServingQueue::poll(TimePoint now) noexcept {
    // The disk is given its next request in advance(), before the results are handed in: the kernel copies
    // their data in the io_uring_enter that follows, and the disk works meanwhile.
    const bool room = exchange_->has_room();
    if (room)
        exchange_->hand_in(table_.advance(*queue_));
    if (table_.outstanding() != 0) {
        if (pausing_)
            linger_.pause_ends(now);
        pausing_ = false;
        return table_.has_more() || !room ? now : queue_->next_reap(now);
    }
    if (!pausing_) {
        linger_.pause_begins(now);
        static_cast<void>(queue_->next_reap(now));  // which learns of the pause
    }
    pausing_ = true;
    return now < linger_.until() ? now : TimePoint::max();
}

}  // namespace outboard::ublk
