// Programs that the lab runs: where they are looked for, and what is said when they fail.
#include "outboard/lab/process.hpp"

#include "outboard/base/error.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::lab {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

class ProcessTest : public testing::Test {
  protected:
    ProcessTest() {
        std::string name = "/tmp/process test XXXXXX";
        directory_ = ::mkdtemp(name.data());
    }
    ~ProcessTest() override { fs::remove_all(directory_); }

    void script(const std::string& name, const std::string& text) const {
        std::ofstream(directory_ / name) << "#!/bin/sh\n" << text;
        fs::permissions(directory_ / name, fs::perms::owner_all);
    }

    fs::path directory_;
};

TEST_F(ProcessTest, RunsAProgramOfPath) {
    EXPECT_EQ(run_command({.argv = {"echo", "a b"}, .environment = {}, .directory = {}}, "say", "it"),
              "a b\n");
}

TEST_F(ProcessTest, LooksForARelativePathInTheDirectoryOfTheProgram) {
    script("here", "pwd");
    const std::string output =
        run_command({.argv = {"./here"}, .environment = {}, .directory = directory_}, "run", "here");
    EXPECT_EQ(output, directory_.string() + "\n");
    EXPECT_THAT(
        [&] { run_command({.argv = {"./here"}, .environment = {}, .directory = {}}, "run", "here"); },
        ThrowsMessage<Error>(HasSubstr("cannot run ./here: there is no such program on this machine")));
}

TEST_F(ProcessTest, SaysHowAProgramFailed) {
    script("fails", "echo so it is >&2; exit 3");
    EXPECT_THAT(
        [&] {
            run_command({.argv = {"./fails"}, .environment = {}, .directory = directory_}, "build", "it");
        },
        ThrowsMessage<Error>(AllOf(HasSubstr("cannot build it"), HasSubstr("so it is"))));
}

TEST_F(ProcessTest, EndsAProgramAtItsDeadline) {
    EXPECT_THROW(run_command({.argv = {"sleep", "60"},
                              .environment = {},
                              .directory = {},
                              .deadline = std::chrono::seconds(1)},
                             "wait for", "it"),
                 Error);
}

}  // namespace
}  // namespace outboard::lab
