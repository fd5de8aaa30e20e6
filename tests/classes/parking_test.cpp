// The state of a queue that another thread's reset stops.
#include "outboard/classes/parking.hpp"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

namespace outboard {
namespace {

using Duty = Parking::Duty;

TEST(Parking, AReset) {
    Parking parking;
    EXPECT_TRUE(parking.running());
    EXPECT_EQ(parking.follow(), Duty::none);
    parking.stop(true);
    EXPECT_FALSE(parking.running());
    EXPECT_FALSE(parking.parked());
    EXPECT_EQ(parking.follow(), Duty::tell);
    EXPECT_TRUE(parking.parked());
    EXPECT_EQ(parking.follow(), Duty::none);
    parking.resume();
    EXPECT_FALSE(parking.running());
    EXPECT_EQ(parking.follow(), Duty::restart);
    EXPECT_TRUE(parking.running());
}

TEST(Parking, AQueueThatNobodyHasOpenIsParkedAtOnce) {
    Parking parking;
    parking.stop(false);
    EXPECT_TRUE(parking.parked());
    parking.stop(true);
    EXPECT_TRUE(parking.parked());
}

TEST(Parking, AResetBeforeTheEndOfAnother) {
    Parking parking;
    parking.stop(true);
    EXPECT_EQ(parking.follow(), Duty::tell);
    parking.resume();
    parking.stop(true);
    EXPECT_EQ(parking.follow(), Duty::tell);
    parking.resume();
    EXPECT_EQ(parking.follow(), Duty::restart);
}

TEST(Parking, LostIsForGood) {
    Parking parking;
    parking.lose();
    parking.stop(true);
    EXPECT_FALSE(parking.parked());
    EXPECT_EQ(parking.follow(), Duty::end);
    EXPECT_EQ(parking.follow(), Duty::end);
    EXPECT_FALSE(parking.running());
}

/// What one thread did to the queue before it let go of it is seen by the other, each way.
TEST(Parking, HandsTheQueueOver) {
    constexpr unsigned resets = 100;
    Parking parking;
    unsigned used = 0;
    std::atomic<bool> end = false;
    std::thread queue([&] {
        while (!end) {
            if (parking.running())
                ++used;
            else
                static_cast<void>(parking.follow());
            std::this_thread::yield();
        }
    });
    for (unsigned i = 0; i < resets; ++i) {
        parking.stop(true);
        while (!parking.parked())
            std::this_thread::yield();
        used = 0;
        parking.resume();
    }
    end = true;
    queue.join();
}

}  // namespace
}  // namespace outboard
