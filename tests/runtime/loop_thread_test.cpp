#include "outboard/runtime/loop_thread.hpp"

#include "outboard/base/error.hpp"

#include <chrono>
#include <future>
#include <thread>

#include <gtest/gtest.h>
#include <pthread.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

/// A thread whose end can be waited for.
class Ending {
  public:
    LoopThreadOptions options(std::string name = "test") {
        return {.name = std::move(name), .at_end = [this] { ended_.set_value(); }};
    }
    bool came() { return ended_.get_future().wait_for(30s) == std::future_status::ready; }

  private:
    std::promise<void> ended_;
};

Task<void> note_thread(RunLoop& loop, std::thread::id& id, std::string& name) {
    co_await loop.sleep_for(1us);
    id = std::this_thread::get_id();
    name.resize(16);
    ::pthread_getname_np(::pthread_self(), name.data(), name.size());
}

Task<void> fail(RunLoop& loop) {
    co_await loop.sleep_for(1us);
    throw Error({.kind = ErrorKind::io, .action = "try", .subject = "it", .cause = "no", .remedy = {}});
}

Task<void> wait_for_ever(RunLoop& loop) {
    co_await loop.sleep_for(24h);
}

TEST(LoopThread, RunsATaskOnAThreadAndALoopOfItsOwn) {
    Ending ending;
    std::thread::id id;
    std::string name;
    LoopThread thread([&](RunLoop& loop) { return note_thread(loop, id, name); },
                      ending.options("a name of more than it keeps"));
    ASSERT_TRUE(ending.came());
    thread.take_result();
    EXPECT_NE(id, std::thread::id());
    EXPECT_NE(id, std::this_thread::get_id());
    EXPECT_STREQ(name.c_str(), "a name of more ");
}

TEST(LoopThread, HandsOverWhatTheTaskThrew) {
    Ending ending;
    LoopThread thread(fail, ending.options());
    ASSERT_TRUE(ending.came());
    EXPECT_THROW(thread.take_result(), Error);
    EXPECT_THROW(thread.take_result(), Error) << "asked again";
}

TEST(LoopThread, HandsOverThatThereIsNoRing) {
    Ending ending;
    LoopThreadOptions options = ending.options();
    options.loop.entries = 1 << 30;
    LoopThread thread(wait_for_ever, std::move(options));
    ASSERT_TRUE(ending.came());
    EXPECT_THROW(thread.take_result(), Error);
}

TEST(LoopThread, IsStopped) {
    Ending ending;
    LoopThread thread(wait_for_ever, ending.options());
    thread.stop();  // whether it has a loop already or not
    ASSERT_TRUE(ending.came());
    EXPECT_THROW(thread.take_result(), Cancelled);
}

TEST(LoopThread, EndsItsTaskWhenItGoes) {
    for (int i = 0; i < 50; ++i)
        const LoopThread thread(wait_for_ever, {});
}

}  // namespace
}  // namespace outboard
