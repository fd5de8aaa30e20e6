// The vfio-user client on a server that lies: opening a device, and everything that a driver does with it.
#include "outboard/backend/vfio_user/vfio_user_backend.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "fuzz/lying_server.hpp"
#include "fuzz/require.hpp"
#include "fuzz/target.hpp"
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace outboard::fuzz {
namespace {

using namespace std::chrono_literals;

/// A thread for the server, for all executions: to make one takes longer than an execution.
class ServerThread {
  public:
    ServerThread() : thread_([this](const std::stop_token& stop) { work(stop); }) {}

    void start(Fd socket, Input input) {
        const std::scoped_lock lock(mutex_);
        job_.emplace(std::move(socket), input);
        changed_.notify_all();
    }
    void finish() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !job_; });
    }

  private:
    void work(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (changed_.wait(lock, stop, [this] { return job_.has_value(); })) {
            auto [socket, input] = std::move(*job_);
            lock.unlock();
            LyingServer::serve(std::move(socket), input);
            lock.lock();
            job_.reset();
            changed_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::optional<std::pair<Fd, Input>> job_;
    std::jthread thread_;
};

/// A page that a server may reach, and nothing beside it.
class Page {
  public:
    static constexpr std::size_t size = 4096;

    Page()
        : file_(::memfd_create("page", MFD_CLOEXEC)),
          memory_(static_cast<std::byte*>(std::aligned_alloc(size, size))) {
        require(file_ && ::ftruncate(file_.get(), size) == 0 && memory_, "there is memory");
        std::fill_n(memory_.get(), size, std::byte{0x5a});
    }
    DmaMapping mapping(std::uint64_t iova, DmaAccess access, bool shared) const {
        return {.iova = iova,
                .memory = {memory_.get(), size},
                .access = access,
                .fd = shared ? file_.get() : -1,
                .offset = 0};
    }
    bool changed() const {
        return std::any_of(memory_.get(), memory_.get() + size,
                           [](std::byte b) { return b != std::byte{0x5a}; });
    }

  private:
    struct Free {
        void operator()(std::byte* memory) const noexcept { std::free(memory); }
    };
    Fd file_;
    std::unique_ptr<std::byte, Free> memory_;
};

/// What a driver does, in an order that the input says.
class User {
  public:
    User(Input& input, vfio_user::VfioUserBackend& backend, const Page& page, const Page& read_only)
        : input_(input), backend_(backend), page_(page), read_only_(read_only) {}

    void run() {
        check_description();
        for (unsigned left = input_.below(12); left > 0; --left)
            act();
    }

  private:
    static RegionIndex region(unsigned number) { return static_cast<RegionIndex>(number % 8); }

    template <class Action>
    static bool attempt(Action&& action) {
        try {
            action();
            return true;
        } catch (const Error&) {
            return false;
        }
    }

    void check_description() {
        require(backend_.region_info(RegionIndex::config).size >= 64, "a device has configuration space");
        for (unsigned i = 0; i < 8; ++i) {
            const RegionInfo info = backend_.region_info(region(i));
            for (const MappableArea& area : info.mappable) {
                require(area.offset <= info.size && area.size <= info.size - area.offset,
                        "an area lies inside its region");
                const std::span<std::byte> memory = backend_.map_region(region(i), area);
                require(memory.size() == area.size, "and is mapped as a whole");
                if (info.readable)
                    sum_ +=
                        std::to_integer<unsigned>(static_cast<const volatile std::byte*>(memory.data())[0]);
            }
        }
        for (const InterruptKind kind : {InterruptKind::intx, InterruptKind::msi, InterruptKind::msix})
            require(backend_.interrupt_info(kind).count <= 2048, "no device has more vectors");
    }

    void act() {
        std::array<std::byte, 128> data{};
        const unsigned what = input_.below(8);
        const auto where = input_.take<std::uint8_t>();
        switch (what) {
            case 0: {
                const auto size = std::size_t{1} << (where >> 4 & 3);
                const int error =
                    backend_.read_region(region(where), where & 0x38U, std::span(data).first(size));
                require(error >= 0, "an errno value is positive");
                break;
            }
            case 1:
                require(backend_.write_region(region(where), where & 0x38U, std::span(data).first(4)) >= 0,
                        "an errno value is positive");
                break;
            case 2:
                require(backend_.write_run(region(where), where & 0x38U, std::span(data).first(16), 4) >= 0,
                        "an errno value is positive");
                break;
            case 3: {
                const auto kind = static_cast<InterruptKind>(where % 3);
                const std::array<int, 2> both{event_.get(), event_.get()};
                attempt([&] { backend_.set_interrupts(kind, std::span(both).first((where >> 2) % 3)); });
                break;
            }
            case 4:
                require(((where & 1) != 0 ? backend_.mask_intx() : backend_.unmask_intx()) >= 0,
                        "an errno value is positive");
                break;
            case 5:
                attempt([&] { backend_.reset(); });
                break;
            case 6: {
                const bool writable = (where & 1) != 0;
                attempt([&] {
                    backend_.map_dma((writable ? page_ : read_only_)
                                         .mapping((where >> 4) * 4096ULL,
                                                  writable ? DmaAccess::read_write : DmaAccess::read,
                                                  (where & 2) != 0));
                });
                break;
            }
            default:
                attempt([&] { backend_.unmap_dma((where >> 4) * 4096ULL, Page::size); });
        }
    }

    Input& input_;
    vfio_user::VfioUserBackend& backend_;
    const Page& page_;
    const Page& read_only_;
    Fd event_{::eventfd(0, EFD_CLOEXEC)};
    unsigned sum_ = 0;
};

}  // namespace

void run(Input input) {
    static ServerThread thread;
    std::array<int, 2> sockets{};
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) == 0, "there are sockets");
    Fd ours(sockets[0]);
    // 32 bytes are the driver's, the rest is the server's.
    Input driver = input;
    const auto driver_bytes = input.take_bytes(32);
    driver = Input(reinterpret_cast<const std::uint8_t*>(driver_bytes.data()), driver_bytes.size());
    thread.start(Fd(sockets[1]), input);
    const Page page;
    const Page read_only;
    try {
        const auto backend = vfio_user::VfioUserBackend::open_on(
            std::move(ours), "vfio-user:fuzz", {.reply_limit = 200ms, .reset_limit = 200ms});
        User(driver, *backend, page, read_only).run();
    } catch (const Error& error) {
        require(*error.what() != 0, "an Error says what is wrong");
    }
    require(!read_only.changed(), "a server does not write where it may only read");
    thread.finish();
}

}  // namespace outboard::fuzz
