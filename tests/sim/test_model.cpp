#include "tests/sim/test_model.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <vector>

namespace outboard::test {

namespace {

using sim::BarKind;

sim::PciDescription describe() {
    sim::PciDescription description{.name = "test", .vendor = 0x1234, .device = 0x5678};
    description.bars[0] = {
        .kind = BarKind::memory32, .size = 0x4000, .shared = {{.offset = 0x1000, .size = 0x1000}}};
    description.bars[1] = {
        .kind = BarKind::memory32, .size = 0x2000, .shared = {{.offset = 0, .size = 0x2000}}};
    description.bars[4] = {.kind = BarKind::port, .size = 16};
    description.interrupt_line = true;
    description.msi_vectors = 2;
    description.msix = {.vectors = 4, .table_offset = 0x2000, .pending_offset = 0x3000};
    return description;
}

}  // namespace

TestModel::TestModel() : PciModel(describe()) {}

std::uint64_t TestModel::read(unsigned bar, std::uint64_t offset, unsigned) {
    return bar == 0 && offset < registers * 8 ? values_[offset / 8] >> (offset % 8 * 8) : ~std::uint64_t{0};
}

void TestModel::write(unsigned bar, std::uint64_t offset, unsigned, std::uint64_t value) {
    if (bar == 0 && offset < registers * 8)
        values_[offset / 8] = value;
    else if (bar == 0 && offset == command)
        run(value);
}

void TestModel::run(std::uint64_t what) {
    const auto value = std::as_writable_bytes(std::span(values_).subspan(1, 1));
    switch (what) {
        case dma_read:
            dma().read(values_[0], value);
            break;
        case dma_write:
            dma().write(values_[0], value);
            break;
        case notify:
            interrupts().notify(static_cast<unsigned>(values_[2]));
            break;
        case raise_line:
            interrupts().set_line(true);
            break;
        case lower_line:
            interrupts().set_line(false);
            break;
        case watch:
            polling_ = true;
            break;
        case later:
            timers().after(std::chrono::milliseconds(1), [this] { values_[3] = 1; });
            break;
        case dma_read_big: {
            std::vector<std::byte> data(std::min<std::uint64_t>(values_[4], 1 << 20));
            dma().read(values_[0], data);
            values_[5] = 0;
            for (const std::byte byte : data)
                values_[5] += std::to_integer<std::uint64_t>(byte);
            break;
        }
        default:
            throw std::runtime_error("the model fails");
    }
}

void TestModel::reset() {
    values_ = {};
    polling_ = false;
}

sim::Polled TestModel::poll() {
    if (!polling_)
        return sim::Polled::asleep;
    auto& rung = *reinterpret_cast<volatile std::uint32_t*>(shared(0).data() + doorbell);
    const std::uint32_t value = rung;
    if (value == 0)
        return sim::Polled::nothing;
    rung = 0;
    values_[6] += value;
    return sim::Polled::worked;
}

}  // namespace outboard::test
