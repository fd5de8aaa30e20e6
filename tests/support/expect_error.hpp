// Reading an Error in a test.
#pragma once

#include "outboard/base/error.hpp"

#include <utility>

#include <gtest/gtest.h>

namespace outboard::test {

/// The Error that `action` throws; a failure of the test, and an Error without words, when it throws none.
template <class Action>
Error error_of(Action&& action) {
    try {
        std::forward<Action>(action)();
    } catch (const Error& error) {
        return error;
    }
    ADD_FAILURE() << "no Error was thrown";
    return Error({});
}

}  // namespace outboard::test

/// `action` (an expression) must throw an Error of this kind with exactly this message.
#define EXPECT_ERROR(action, expected_kind, message)                                        \
    do {                                                                                    \
        const auto error_ = ::outboard::test::error_of([&] { static_cast<void>(action); }); \
        EXPECT_EQ(error_.kind(), expected_kind);                                            \
        EXPECT_STREQ(error_.what(), message);                                               \
    } while (false)
