#include "outboard/sim/models/ide_controllers.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

namespace outboard::sim {

namespace {

// Intel 82371FB/SB/AB datasheets, IDE function: IDETIM of both channels with IDE decode (bit 15) on, as
// firmware leaves it, SIDETIM, and of PIIX4 the Ultra DMA control and timing.
constexpr std::array piix_registers{IdeConfigRegister{0x40, 4, 0x80008000}, IdeConfigRegister{0x44, 1},
                                    IdeConfigRegister{0x48, 1}, IdeConfigRegister{0x4a, 2}};
constexpr std::array piix_enables{IdeConfigBits{0x41, 0x80, 0}, IdeConfigBits{0x43, 0x80, 1}};

// CMD PCI646U2 datasheet: CFR, CNTRL with both channels (bits 2 and 3) on, timings, and the bus master's
// bytes from 70h on, of which 71h is MRDMODE.
constexpr std::array cmd646_registers{IdeConfigRegister{0x50, 4, 0x00000c00},
                                      IdeConfigRegister{0x54, 4},
                                      IdeConfigRegister{0x58, 4},
                                      IdeConfigRegister{0x71, 1},
                                      IdeConfigRegister{0x73, 1},
                                      IdeConfigRegister{0x79, 1},
                                      IdeConfigRegister{0x7b, 1}};
constexpr std::array cmd646_enables{IdeConfigBits{0x51, 0x04, 0}, IdeConfigBits{0x51, 0x08, 1}};
constexpr std::array cmd646_latches{IdeConfigBits{0x50, 0x04, 0}, IdeConfigBits{0x57, 0x10, 1},
                                    IdeConfigBits{0x71, 0x04, 0}, IdeConfigBits{0x71, 0x08, 1}};
constexpr std::array cmd646_blocks{IdeConfigBits{0x71, 0x10, 0}, IdeConfigBits{0x71, 0x20, 1}};

constexpr std::array controllers{
    IdeController{.name = "cmd646",
                  .vendor = 0x1095,
                  .device = 0x0646,
                  .revision = 7,
                  .both_modes = true,
                  .registers = cmd646_registers,
                  .enables = cmd646_enables,
                  .latches = cmd646_latches,
                  .blocks = cmd646_blocks,
                  .mirror = 0x70},
    IdeController{.name = "piix3",
                  .vendor = 0x8086,
                  .device = 0x7010,
                  .mode = IdeMode::compatibility,
                  .wide_data = true,
                  .registers = piix_registers,
                  .enables = piix_enables},
    IdeController{.name = "piix4",
                  .vendor = 0x8086,
                  .device = 0x7111,
                  .mode = IdeMode::compatibility,
                  .wide_data = true,
                  .registers = piix_registers,
                  .enables = piix_enables},
    // None that was ever built: what the two specifications ask for, and nothing else.
    IdeController{.name = "plain", .vendor = 0x1234, .device = 0x0101, .both_modes = true},
};

[[noreturn]] void refuse(std::string subject, std::string cause, std::string remedy) {
    throw Error({.kind = ErrorKind::usage,
                 .action = "simulate",
                 .subject = std::move(subject),
                 .cause = std::move(cause),
                 .remedy = std::move(remedy)});
}

/// PCI IDE 1.0, clause 2.2: per channel a bit for native mode and one for being able to change it; bit 7: a
/// bus master.
constexpr std::uint32_t programming_interface(const IdeController& controller, IdeMode mode) {
    return 0x80U | (controller.both_modes ? 0x0aU : 0U) | (mode == IdeMode::native ? 0x05U : 0U);
}

}  // namespace

const IdeController& find_ide_controller(std::string_view name) {
    const auto* const found = std::ranges::find(controllers, name, &IdeController::name);
    if (found != controllers.end())
        return *found;
    std::string names;
    for (const IdeController& controller : controllers)
        names += fmt::format("{}{}", names.empty() ? "" : ", ", controller.name);
    refuse(fmt::format("the IDE controller {}", name), "there is none of that name",
           "choose one of " + names);
}

PciDescription describe(const IdeController& controller, IdeMode mode) {
    if (mode != controller.mode && !controller.both_modes)
        refuse(fmt::format("the IDE controller {}", controller.name),
               fmt::format("it has no {} mode", mode == IdeMode::native ? "native" : "compatibility"),
               "choose another controller or leave the mode out");
    PciDescription description{
        .name = "ide", .vendor = controller.vendor, .device = controller.device, .bars = {}};
    description.class_code = 0x010100U | programming_interface(controller, mode);
    description.revision = controller.revision;
    // In compatibility mode the control block is one port, 3f6h or 376h (clause 2.1), and so is its region.
    const std::uint64_t control = mode == IdeMode::native ? 4 : 1;
    description.bars[0] = description.bars[2] = {.kind = BarKind::port, .size = 8};
    description.bars[1] = description.bars[3] = {.kind = BarKind::port, .size = control};
    description.bars[4] = {.kind = BarKind::port, .size = 16};
    description.interrupt_line = mode == IdeMode::native;
    return description;
}

}  // namespace outboard::sim
