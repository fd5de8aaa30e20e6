// A simulated device for the suite of a driver.
#pragma once

#include "outboard/sim/server.hpp"

#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "tests/sim/socket_directory.hpp"

namespace outboard::test {

/// One device for all tests of a process: its clients come and go, its disks stay.
template <class Model>
class SimulatedDevice {
  public:
    /// `configure` gives the model's options; a model that can complain may keep what it is called with.
    template <class Configure>
    explicit SimulatedDevice(const Configure& configure)
        : model_(configure([this](std::string_view what) { note(what); })) {}

    std::filesystem::path path() const { return server_.server().path(); }
    std::string name() const { return "vfio-user:" + path().string(); }
    /// What the model found wrong and which transfers went beside the mapped memory, since the last call.
    std::string complaints() {
        const std::scoped_lock lock(mutex_);
        return std::exchange(complaints_, {});
    }

  private:
    void note(std::string_view line) {
        const std::scoped_lock lock(mutex_);
        complaints_.append(line).append("\n");
    }

    std::mutex mutex_;
    std::string complaints_;
    Model model_;
    SocketDirectory directory_;
    sim::ServerThread server_{model_,
                              {.socket = directory_.path("device"), .log = [this](std::string_view line) {
                                   if (line.find("DMA fault") != std::string_view::npos)
                                       note(line);
                               }}};
};

}  // namespace outboard::test
