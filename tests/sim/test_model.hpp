// A device that does what a test of the server asks it to.
#pragma once

#include "outboard/sim/pci_model.hpp"

#include <array>
#include <cstdint>

namespace outboard::test {

/// BAR 0: eight registers of 8 bytes, then a command register, then a shared page with a doorbell; MSI-X
/// table. BAR 1: shared as a whole. BAR 4: ports. INTx, MSI, MSI-X with 4 vectors.
class TestModel final : public sim::PciModel {
  public:
    static constexpr std::uint64_t registers = 8;
    static constexpr std::uint64_t command = 0x40;
    static constexpr std::uint64_t doorbell = 0x1000;
    static constexpr std::uint64_t msix_table = 0x2000;

    /// What a write to `command` does.
    enum Command : std::uint64_t {
        dma_read = 1,   ///< register 1 = 8 bytes at the address in register 0
        dma_write = 2,  ///< and back
        notify = 3,     ///< vector in register 2
        raise_line = 4,
        lower_line = 5,
        fail = 6,         ///< throws
        watch = 7,        ///< looks at the doorbell from now on
        later = 8,        ///< register 3 = 1 in a millisecond
        dma_read_big = 9  ///< as many bytes as register 4 says; register 5 = their sum
    };

    TestModel();

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned width) override;
    void write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override;
    void reset() override;
    sim::Polled poll() override;

  private:
    void run(std::uint64_t what);

    std::array<std::uint64_t, registers> values_{};
    bool polling_ = false;
};

}  // namespace outboard::test
