#include "outboard/runtime/provided_buffers.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

namespace outboard {
namespace {

/// Receives messages into buffers that the kernel picks.
class Receiver final : public Completion {
  public:
    Receiver(RunLoop& loop, ProvidedBuffers& buffers, int socket)
        : loop_(loop), buffers_(buffers), socket_(socket) {}

    void receive() {
        io_uring_sqe* const entry = loop_.prepare(*this);
        entry->opcode = IORING_OP_RECV;
        entry->fd = socket_;
        entry->flags = IOSQE_BUFFER_SELECT;
        entry->buf_group = buffers_.group();
        going_on_ = true;
    }
    void complete(int result, unsigned flags) noexcept override {
        going_on_ = false;
        result_ = result;
        flags_ = flags;
    }
    /// The result of the operation that was started.
    int wait() {
        while (going_on_)
            loop_.turn();
        return result_;
    }
    std::string text() const {
        const std::span<const std::byte> bytes = buffers_.taken(flags_);
        return {reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(result_)};
    }
    unsigned flags() const { return flags_; }

  private:
    RunLoop& loop_;
    ProvidedBuffers& buffers_;
    int socket_;
    bool going_on_ = false;
    int result_ = 0;
    unsigned flags_ = 0;
};

class ProvidedBuffersTest : public testing::Test {
  protected:
    ProvidedBuffersTest() {
        std::array<int, 2> ends{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()), 0);
        here_.reset(ends[0]);
        there_.reset(ends[1]);
    }
    void send(const std::string& text) const {
        EXPECT_EQ(::send(there_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    }

    RunLoop loop_;
    Fd here_;
    Fd there_;
};

TEST_F(ProvidedBuffersTest, AreTakenAndGivenBack) {
    ProvidedBuffers buffers(loop_, 2, 16);
    Receiver receiver(loop_, buffers, here_.get());
    for (int i = 0; i < 20; ++i) {
        const std::string text = "message " + std::to_string(i);
        send(text);
        receiver.receive();
        ASSERT_EQ(receiver.wait(), static_cast<int>(text.size()));
        ASSERT_TRUE(receiver.flags() & IORING_CQE_F_BUFFER);
        EXPECT_EQ(receiver.text(), text);
        buffers.give_back(receiver.flags());
    }
}

TEST_F(ProvidedBuffersTest, RunOutWhenTheyAreKept) {
    ProvidedBuffers buffers(loop_, 2, 16);
    Receiver receiver(loop_, buffers, here_.get());
    std::vector<unsigned> kept;
    for (const char* const text : {"one", "two"}) {
        send(text);
        receiver.receive();
        ASSERT_EQ(receiver.wait(), 3);
        EXPECT_EQ(receiver.text(), text);
        kept.push_back(receiver.flags());
    }
    EXPECT_NE(buffers.taken(kept[0]).data(), buffers.taken(kept[1]).data());
    send("three");
    receiver.receive();
    EXPECT_EQ(receiver.wait(), -ENOBUFS);
    buffers.give_back(kept[1]);
    receiver.receive();
    ASSERT_EQ(receiver.wait(), 5);
    EXPECT_EQ(receiver.text(), "three");
}

TEST_F(ProvidedBuffersTest, OfOneLoopAreKeptApart) {
    const ProvidedBuffers one(loop_, 1, 16);
    const ProvidedBuffers two(loop_, 1, 16);
    EXPECT_NE(one.group(), two.group());
}

TEST_F(ProvidedBuffersTest, RefuseANumberThatTheKernelDoesNotTake) {
    EXPECT_THROW(ProvidedBuffers(loop_, 3, 16), Error);
}

}  // namespace
}  // namespace outboard
