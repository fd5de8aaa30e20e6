#include "outboard/runtime/provided_buffers.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/run_loop_impl.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace outboard {

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr unsigned number_shift = 16;  // IORING_CQE_BUFFER_SHIFT

}  // namespace

void ProvidedBuffers::Free::operator()(void* memory) const noexcept {
    std::free(memory);
}

ProvidedBuffers::ProvidedBuffers(RunLoop& loop, unsigned count, std::size_t bytes)
    : loop_(&loop),
      count_(count),
      bytes_(bytes),
      group_(loop.impl_->next_buffer_group++),
      buffers_(std::make_unique<std::byte[]>(count * bytes)) {
    const std::size_t ring_bytes = (count * sizeof(io_uring_buf) + page_bytes - 1) / page_bytes * page_bytes;
    void* const memory = std::aligned_alloc(page_bytes, ring_bytes);
    if (memory == nullptr)
        throw_errno(ENOMEM, "allocate", "a ring of buffers");
    std::memset(memory, 0, ring_bytes);
    ring_.reset(static_cast<io_uring_buf_ring*>(memory));
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
    registration.ring_entries = count;
    registration.bgid = group_;
    if (const int result = io_uring_register_buf_ring(&loop.impl_->ring, &registration, 0); result != 0)
        throw_errno(-result, "register", "a ring of buffers");
    for (unsigned number = 0; number < count; ++number)
        provide(number);
}

ProvidedBuffers::~ProvidedBuffers() {
    io_uring_unregister_buf_ring(&loop_->impl_->ring, group_);
}

void ProvidedBuffers::provide(unsigned number) noexcept {
    io_uring_buf_ring_add(ring_.get(), buffers_.get() + number * bytes_, static_cast<unsigned>(bytes_),
                          static_cast<unsigned short>(number), io_uring_buf_ring_mask(count_), 0);
    io_uring_buf_ring_advance(ring_.get(), 1);
}

std::span<std::byte> ProvidedBuffers::taken(unsigned flags) const noexcept {
    return {buffers_.get() + (flags >> number_shift) * bytes_, bytes_};
}

void ProvidedBuffers::give_back(unsigned flags) noexcept {
    provide(flags >> number_shift);
}

}  // namespace outboard
