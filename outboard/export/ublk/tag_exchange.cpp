#include "outboard/export/ublk/exchange.hpp"
#include "outboard/export/ublk/uapi.hpp"

#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

namespace outboard::ublk {

namespace {

class TagExchange final : public Exchange {
  public:
    explicit TagExchange(ExchangeSetup setup) : setup_(std::move(setup)) {
        tags_.reserve(setup_.buffers.size());
        for (std::size_t tag = 0; tag < setup_.buffers.size(); ++tag)
            tags_.emplace_back(*this, static_cast<std::uint16_t>(tag));
    }

    void begin() noexcept override {
        for (std::size_t tag = 0; tag < tags_.size(); ++tag)
            prepare(command::fetch, static_cast<std::uint16_t>(tag), 0);
    }
    bool has_room() const noexcept override { return true; }
    void hand_in(std::span<const FinishedRequest> finished) noexcept override {
        for (const FinishedRequest& request : finished)
            prepare(command::commit_and_fetch, request.tag, request.result);
    }
    bool is_over() const noexcept override { return with_kernel_ == 0; }

  private:
    class Tag final : public Completion {
      public:
        Tag(TagExchange& exchange, std::uint16_t number) noexcept : exchange_(&exchange), number_(number) {}
        void complete(int result, unsigned /*flags*/) noexcept override {
            --exchange_->with_kernel_;
            if (result == result_ok)
                exchange_->setup_.table.fetched(number_);
            else
                exchange_->setup_.ended(result);
        }

      private:
        TagExchange* exchange_;
        std::uint16_t number_;
    };

    void prepare(std::uint32_t operation, std::uint16_t tag, int result) noexcept {
        io_uring_sqe* const entry = setup_.loop.prepare(tags_[tag]);
        entry->opcode = IORING_OP_URING_CMD;
        entry->fd = setup_.file;
        entry->cmd_op = operation;
        const IoCommand command{.queue_id = setup_.queue,
                                .tag = tag,
                                .result = result,
                                .address = reinterpret_cast<std::uintptr_t>(setup_.buffers[tag].address)};
        std::memcpy(entry->cmd, &command, sizeof command);
        ++with_kernel_;
    }

    ExchangeSetup setup_;
    std::vector<Tag> tags_;
    std::size_t with_kernel_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> make_tag_exchange(ExchangeSetup setup) {
    return std::make_unique<TagExchange>(std::move(setup));
}

}  // namespace outboard::ublk
