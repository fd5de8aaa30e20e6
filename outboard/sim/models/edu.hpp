// QEMU's educational device (PCI 1234:11e8; QEMU: docs/specs/edu), simulated: factorials and DMA, by INTx or
// MSI. The model to read before writing another.
#pragma once

#include "outboard/sim/model_options.hpp"
#include "outboard/sim/pci_model.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace outboard::sim {

struct EduOptions {
    Duration dma_time = std::chrono::milliseconds(100);  ///< how long a transfer takes
    Duration factorial_time = std::chrono::microseconds(10);
    std::uint64_t dma_mask = (std::uint64_t{1} << 28) - 1;  ///< address bits that its DMA engine drives
};

class EduModel final : public PciModel {
  public:
    explicit EduModel(const EduOptions& options = {});

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned width) override;
    void write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override;
    void reset() override { state_ = {}; }

  private:
    struct State {
        std::uint32_t liveness = 0;
        std::uint32_t factorial = 0;
        bool computing = false;
        bool interrupt_after_factorial = false;
        std::uint32_t causes = 0;
        std::uint64_t dma_source = 0;
        std::uint64_t dma_destination = 0;
        std::uint64_t dma_count = 0;
        std::uint64_t dma_command = 0;
        std::array<std::byte, 4096> buffer{};
    };

    void raise(std::uint32_t causes) noexcept;
    void acknowledge(std::uint32_t causes) noexcept;
    void start_factorial(std::uint32_t number);
    void finish_factorial() noexcept;
    /// What was begun ends after `time`.
    void end_later(Duration time, void (EduModel::*finish)() noexcept);
    void start_dma(std::uint64_t command);
    void finish_dma() noexcept;

    EduOptions options_;
    State state_;
};

/// The entry for the table of models.
extern const ModelDescription edu_description;

}  // namespace outboard::sim
