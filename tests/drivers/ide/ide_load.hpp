// A controller under the IDE driver for a while.
#pragma once

#include <memory>
#include <utility>

#include "tests/drivers/ide/ide_place.hpp"
#include "tests/support/disk_load.hpp"

namespace outboard::test {

class OurIde final : public Ours {
  public:
    explicit OurIde(DriverOptions options = {})
        : OurIde(std::shared_ptr(make_ide_place()), std::move(options)) {}
    OurIde(const std::shared_ptr<IdePlace>& where, DriverOptions options)
        : Ours(where, std::move(options)), place(where) {}

    std::shared_ptr<IdePlace> place;
};

}  // namespace outboard::test
