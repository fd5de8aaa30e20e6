// What the I/O queues complain of, put right on the controller's thread: aborts, resets, and the end.
#include "outboard/base/error.hpp"
#include "outboard/drivers/nvme/controller.hpp"

#include <exception>
#include <utility>

#include <fmt/format.h>

namespace outboard::nvme {

Task<void> Controller::serve_attention() {
    for (;;) {
        const int result = co_await attention_watch_->next();
        attention_.deliver();
        if (lost_)
            continue;
        bool failed = false;
        try {
            Task<void> attending = attend();
            co_await std::move(attending);
        } catch (const outboard::Error& error) {
            tell(error.what());
            failed = true;
        }
        // Resets that get no queue going again would go on for ever.
        if (failed && ++failures_ > most_failures) {
            give_up();
        } else if (failed) {
            Task<void> recovering = recover();
            co_await std::move(recovering);
        }
        if (result < 0)
            break;
    }
}

Task<void> Controller::attend() {
    bool reset = false;
    for (const Lending& lending : queues_)
        reset = lending.queue->take_reset() || reset;
    if (reset) {
        Task<void> recovering = recover();
        co_await std::move(recovering);
        if (lost_)
            co_return;
    }
    for (const Lending& lending : queues_) {
        if (const auto wish = lending.queue->take_abort()) {
            Task<void> aborting = abort(*wish);
            co_await std::move(aborting);
        }
    }
    for (Lending& lending : queues_) {
        if (!lending.queue->parked())
            continue;
        if (!keep_pairs_of(lending))
            continue;
        Task<void> creating = create_queue(*lending.queue);
        co_await std::move(creating);
        lending.queue->resume();
        failures_ = 0;
    }
    if (const auto event = admin_.take_event()) {
        Task<void> handling = handle_event(*event);
        co_await std::move(handling);
    }
    if (health_wish_ && !health_wish_->answer) {
        Task<void> answering = answer_health_wish();
        co_await std::move(answering);
    }
}

/// Whether it worked is seen at the command itself: it ends, or its second deadline comes.
Task<void> Controller::abort(AbortWish wish) {
    Task<AdminResult> aborting =
        admin_.send(abort_command(wish.submission_queue, wish.identifier), limits_.command / 4, "Abort");
    static_cast<void>(co_await std::move(aborting));
}

/// The queues' requests wait meanwhile; each queue is made anew when its thread has let go of it.
Task<void> Controller::recover() {
    usable_ = false;
    tell(fmt::format("{}: the controller is reset", name_));
    {
        const std::scoped_lock lock(lending_);
        for (const Lending& lending : queues_)
            lending.queue->stop(lending.lent);
    }
    bool again = false;
    try {
        Task<void> trying = bring_up_again();
        co_await std::move(trying);
        tell(fmt::format("{} works again after a reset", name_));
        co_return;
    } catch (const outboard::Error& error) {
        tell(error.what());
        again = device_.resettable() && !all_ones(registers_.read<ControllerStatus>());
    }
    if (again) {
        try {
            tell(fmt::format("{}: the whole device is reset", name_));
            device_.reset();
            device_.set_bus_master(true);
            Task<void> trying = bring_up_again();
            co_await std::move(trying);
            tell(fmt::format("{} works again after a reset of the device", name_));
            co_return;
        } catch (const outboard::Error& error) {
            tell(error.what());
        }
    }
    give_up();
}

Task<void> Controller::bring_up_again() {
    Task<void> disabling = disable_controller(access());
    co_await std::move(disabling);
    Task<void> enabling = enable_controller(access());
    co_await std::move(enabling);
    Task<void> verifying = verify_identity();
    co_await std::move(verifying);
    Task<unsigned> counting = set_queue_count(access(), pair_count_);
    granted_pairs_ = co_await std::move(counting);
    Task<void> configuring = configure();
    co_await std::move(configuring);
    Task<void> requesting = request_events();
    co_await std::move(requesting);
    usable_ = true;
}

/// A controller that grants fewer pairs than before serves as many queues as it can; the requests of the
/// others end. False: it is one of these.
bool Controller::keep_pairs_of(Lending& lending) {
    if (lending.queue->keep_pairs(granted_pairs_))
        return true;
    tell(fmt::format("{}: it grants {} queue pairs only since a reset: a queue is given up", name_,
                     granted_pairs_));
    lending.queue->lose();
    const std::scoped_lock lock(lending_);
    lending.withdrawn = true;
    return false;
}

/// Requests that waited must not reach another disk.
Task<void> Controller::verify_identity() {
    Task<ControllerIdentity> identifying = identify_controller(access());
    const ControllerIdentity now = co_await std::move(identifying);
    bool same = now.model == identity_.model && now.serial == identity_.serial;
    for (const auto& name_space : namespaces_) {
        Task<NamespaceIdentity> asking = identify_namespace(access(), name_space->identity().id);
        const NamespaceIdentity found = co_await std::move(asking);
        same = same && found == name_space->identity();
    }
    if (!same)
        throw outboard::Error(
            {.kind = ErrorKind::io,
             .action = "go on with",
             .subject = name_,
             .cause = "it is another controller, or its namespaces are others, after a reset",
             .remedy = {}});
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
    for (const Lending& lending : queues_)
        lending.queue->lose();
}

}  // namespace outboard::nvme
