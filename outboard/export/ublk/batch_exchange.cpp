#include "outboard/export/ublk/exchange.hpp"
#include "outboard/export/ublk/uapi.hpp"
#include "outboard/runtime/provided_buffers.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

namespace outboard::ublk {

namespace {

/// Tags that one completion brings at most; the kernel has the same limit.
constexpr std::size_t most_tags = 128;
constexpr unsigned tag_buffers = 8;

class BatchExchange final : public Exchange {
  public:
    explicit BatchExchange(ExchangeSetup setup)
        : setup_(std::move(setup)),
          tags_(setup_.loop, tag_buffers,
                std::min(most_tags, setup_.buffers.size()) * sizeof(std::uint16_t)) {
        for (Commit& commit : commits_)
            commit.elements.resize(setup_.buffers.size());
    }

    void begin() noexcept override;
    bool has_room() const noexcept override {
        return std::ranges::any_of(commits_, [](const Commit& commit) { return commit.expected == 0; });
    }
    void hand_in(std::span<const FinishedRequest> finished) noexcept override;
    bool is_over() const noexcept override { return with_kernel_ == 0; }

  private:
    /// The one command that brings tags.
    struct Fetch final : Completion {
        explicit Fetch(BatchExchange& owner) noexcept : exchange(owner) {}
        void complete(int result, unsigned flags) noexcept override { exchange.fetched(result, flags); }
        BatchExchange& exchange;
    };
    /// A command that hands results in, or says where the buffers of all tags are.
    struct Commit final : Completion {
        explicit Commit(BatchExchange& owner) noexcept : exchange(owner) {}
        void complete(int result, unsigned /*flags*/) noexcept override { exchange.handed_in(*this, result); }
        BatchExchange& exchange;
        std::vector<BatchElement> elements;
        int expected = 0;  ///< 1 + its result when all is well; 0: it is not under way
    };

    io_uring_sqe* prepare(Completion& completion, std::uint32_t operation, BatchCommand command) noexcept;
    void send(Commit& commit, std::uint32_t operation, std::size_t elements) noexcept;
    void fetch() noexcept;
    void fetched(int result, unsigned flags) noexcept;
    void handed_in(Commit& commit, int result) noexcept;

    std::uint64_t address_of(std::size_t tag) const noexcept {
        return reinterpret_cast<std::uintptr_t>(setup_.buffers[tag].address);
    }

    ExchangeSetup setup_;
    ProvidedBuffers tags_;
    Fetch fetch_{*this};
    std::array<Commit, 2> commits_{Commit(*this), Commit(*this)};
    std::size_t with_kernel_ = 0;
};

io_uring_sqe* BatchExchange::prepare(Completion& completion, std::uint32_t operation,
                                     BatchCommand command) noexcept {
    io_uring_sqe* const entry = setup_.loop.prepare(completion);
    entry->opcode = IORING_OP_URING_CMD;
    entry->fd = setup_.file;
    entry->cmd_op = operation;
    std::memcpy(entry->cmd, &command, sizeof command);
    ++with_kernel_;
    return entry;
}

void BatchExchange::send(Commit& commit, std::uint32_t operation, std::size_t elements) noexcept {
    io_uring_sqe* const entry = prepare(commit, operation,
                                        {.queue_id = setup_.queue,
                                         .flags = batch_has_addresses,
                                         .elements = static_cast<std::uint16_t>(elements),
                                         .element_bytes = sizeof(BatchElement),
                                         .reserved = 0,
                                         .reserved2 = 0});
    entry->addr = reinterpret_cast<std::uintptr_t>(commit.elements.data());
    // A commit answers how many bytes of elements it has handled, a preparation 0.
    commit.expected = 1;
    if (operation == command::commit_batch)
        commit.expected += static_cast<int>(elements * sizeof(BatchElement));
}

void BatchExchange::begin() noexcept {
    Commit& all = commits_.front();
    for (std::size_t tag = 0; tag < all.elements.size(); ++tag)
        all.elements[tag] = {.tag = static_cast<std::uint16_t>(tag),
                             .buffer_index = 0,
                             .result = 0,
                             .address = address_of(tag)};
    send(all, command::prepare_batch, all.elements.size());
    // After it in the same submission: a queue that is taken over fetches nothing before it is prepared.
    fetch();
}

void BatchExchange::fetch() noexcept {
    io_uring_sqe* const entry = prepare(fetch_, command::fetch_batch,
                                        {.queue_id = setup_.queue,
                                         .flags = 0,
                                         .elements = 0,
                                         .element_bytes = sizeof(std::uint16_t),
                                         .reserved = 0,
                                         .reserved2 = 0});
    entry->rw_flags = command_multishot;  // uring_cmd_flags, which liburing 2.3 does not know
    entry->flags = IOSQE_BUFFER_SELECT;
    entry->buf_group = tags_.group();
}

void BatchExchange::fetched(int result, unsigned flags) noexcept {
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        const std::span<const std::byte> memory = tags_.taken(flags);
        const std::size_t bytes = std::min(static_cast<std::size_t>(std::max(result, 0)), memory.size());
        for (std::size_t at = 0; at + sizeof(std::uint16_t) <= bytes; at += sizeof(std::uint16_t)) {
            std::uint16_t tag = 0;
            std::memcpy(&tag, memory.data() + at, sizeof tag);
            if (tag < setup_.buffers.size())
                setup_.table.fetched(tag);
        }
        tags_.give_back(flags);
    }
    if ((flags & IORING_CQE_F_MORE) != 0)
        return;
    --with_kernel_;
    // It also ends when it finds no buffer, or no room for its completion: nothing is lost then.
    if (result >= 0 || result == -ENOBUFS)
        fetch();
    else
        setup_.ended(result);
}

void BatchExchange::hand_in(std::span<const FinishedRequest> finished) noexcept {
    if (finished.empty())
        return;
    Commit& commit = *std::ranges::find(commits_, 0, &Commit::expected);
    for (std::size_t i = 0; i < finished.size(); ++i)
        commit.elements[i] = {.tag = finished[i].tag,
                              .buffer_index = 0,
                              .result = finished[i].result,
                              .address = address_of(finished[i].tag)};
    send(commit, command::commit_batch, finished.size());
}

void BatchExchange::handed_in(Commit& commit, int result) noexcept {
    --with_kernel_;
    const bool well = result + 1 == std::exchange(commit.expected, 0);
    // Where only a part of them was taken, the others are lost.
    if (!well)
        setup_.ended(result < 0 ? result : -EIO);
    else if (is_over())
        setup_.ended(-ENODEV);
}

}  // namespace

std::unique_ptr<Exchange> make_batch_exchange(ExchangeSetup setup) {
    return std::make_unique<BatchExchange>(std::move(setup));
}

}  // namespace outboard::ublk
