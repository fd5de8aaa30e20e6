// What the ports complain of, put right: by themselves, by resets of the HBA and of the device, and the end.
#include "outboard/base/error.hpp"
#include "outboard/drivers/ahci/controller.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace outboard::ahci {

namespace {

using namespace std::chrono_literals;

/// How long a disk has for its link after a reset of the HBA.
constexpr Duration reset_link_limit = 1s;

}  // namespace

Task<void> Controller::serve_attention() {
    for (;;) {
        const int result = co_await bell_watch_->next();
        for (const Place& place : places_) {
            if (lost_ || !place.port->wants_attention())
                continue;
            bool failed = false;
            attending_ = true;
            try {
                Task<void> attending = place.port->attend();
                co_await std::move(attending);
            } catch (const outboard::Error& error) {
                tell(error.what());
                failed = true;
            }
            if (failed) {
                Task<void> recovering = recover();
                co_await std::move(recovering);
            }
            attending_ = false;
        }
        if (result < 0)
            break;
    }
}

/// A port cannot help itself. The requests of all ports wait meanwhile.
Task<void> Controller::recover() {
    if (gone()) {
        give_up();
        co_return;
    }
    tell(fmt::format("{}: the HBA is reset", name_));
    for (const Place& place : places_)
        place.port->interrupt_commands();
    Task<bool> trying = bring_up_again();
    const bool works = co_await std::move(trying);
    if (works) {
        tell(fmt::format("{} works again after a reset", name_));
        co_return;
    }
    if (device_.resettable() && !gone()) {
        tell(fmt::format("{}: the whole device is reset", name_));
        bool reset = false;
        try {
            device_.reset();
            device_.set_bus_master(true);
            reset = true;
        } catch (const outboard::Error& error) {
            tell(error.what());
        }
        if (reset) {
            Task<bool> again = bring_up_again();
            const bool works_now = co_await std::move(again);
            if (works_now) {
                tell(fmt::format("{} works again after a reset of the device", name_));
                co_return;
            }
        }
    }
    give_up();
}

/// False when the HBA does not come back, or none of its disks does. A disk that alone does not is given up.
Task<bool> Controller::bring_up_again() {
    try {
        Task<void> resetting = reset_hba();
        co_await std::move(resetting);
        Task<void> linking =
            bring_up_link(reset_link_limit, [](const Port& port) { return port.expects_disk(); });
        co_await std::move(linking);
    } catch (const outboard::Error& error) {
        tell(error.what());
        co_return false;
    }
    std::vector<Port*> failed;
    bool any = false;
    for (const Place& place : places_) {
        try {
            Task<void> bringing = place.port->bring_up();
            co_await std::move(bringing);
            any = any || place.port->raised();
        } catch (const outboard::Error& error) {
            tell(error.what());
            failed.push_back(place.port.get());
        }
    }
    if (gone() || (!any && !failed.empty()))
        co_return false;
    for (Port* const port : failed)
        port->lose();
    if (!interrupts_.empty())
        registers_.modify<GlobalControl>(
            [](Value<GlobalControl> value) { return value.with(GlobalControl::interrupt_enable); });
    for (const Place& place : places_)
        place.port->restart();
    co_return true;
}

void Controller::give_up() noexcept {
    lost_ = true;
    try {
        // Before the requests' memory belongs to others: the device may still be there.
        device_.set_bus_master(false);
        tell(fmt::format("{} is given up", name_));
    } catch (const std::exception& error) {
        tell(error.what());
    }
    for (const Place& place : places_)
        place.port->lose();
}

}  // namespace outboard::ahci
