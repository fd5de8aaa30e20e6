// A PCI IDE controller with up to four ATA disks, simulated: two channels, bus-master DMA, native or
// compatibility mode (PCI IDE Controller Specification 1.0; Bus Master IDE 1.0; ATA/ATAPI-6).
#pragma once

#include "outboard/sim/model_options.hpp"
#include "outboard/sim/models/ide_breaches.hpp"
#include "outboard/sim/models/ide_channel.hpp"
#include "outboard/sim/models/ide_controllers.hpp"
#include "outboard/sim/models/ide_disk.hpp"
#include "outboard/sim/pci_model.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace outboard::sim {

inline constexpr unsigned ide_channels = 2;
inline constexpr unsigned ide_places = 4;  ///< primary master and slave, secondary master and slave

struct IdeOptions {
    std::string controller = "cmd646";  ///< or piix3, piix4, plain
    std::optional<IdeMode> mode{};      ///< nothing: the controller's usual one
    std::array<std::optional<IdeDiskOptions>, ide_places> disks{};
    /// Gets half a sentence for each breach(); may be empty.
    std::function<void(std::string_view)> report{};
};

class IdeModel final : public PciModel {
  public:
    /// Throws Error.
    explicit IdeModel(const IdeOptions& options);

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned width) override;
    void write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override;
    void reset() override;
    void config_written(std::size_t offset, std::size_t size) override;

    /// Null when the place is empty.
    IdeDisk* disk(unsigned place) noexcept { return channels_[place / 2].disk(place % 2); }
    /// Accesses that the standards leave undefined, since it was made. Any thread.
    std::uint64_t breaches() const noexcept { return breaches_.count(); }

    /// Power is cut and comes back: each unflushed sector is old or new, as `seed` decides, and the rest is
    /// as after power-on. Throws Error.
    void cut_power(std::uint64_t seed);

  private:
    IdeModel(const IdeOptions& options, const IdeController& controller);

    bool enabled(unsigned channel) noexcept;
    std::uint64_t read_command_block(IdeChannel& channel, std::uint64_t offset, unsigned width);
    void write_command_block(IdeChannel& channel, std::uint64_t offset, unsigned width, std::uint64_t value);
    std::uint8_t read_bus_master(unsigned offset);
    void write_bus_master(unsigned offset, std::uint8_t value);

    void interrupt_changed(unsigned channel);
    void show_latches() noexcept;
    void drive_line() noexcept;

    const IdeController& controller_;
    std::uint64_t control_offset_;
    IdeBreaches breaches_;
    std::array<IdeChannel, ide_channels> channels_;
    std::array<bool, ide_channels> latched_{};
};

/// The entry for the table of models.
extern const ModelDescription ide_description;

}  // namespace outboard::sim
