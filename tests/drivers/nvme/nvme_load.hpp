// A controller under the NVMe driver for a while.
#pragma once

#include "outboard/drivers/nvme/nvme.hpp"

#include <memory>
#include <utility>

#include "tests/drivers/nvme/nvme_place.hpp"
#include "tests/support/disk_load.hpp"

namespace outboard::test {

class OurNvme final : public Ours {
  public:
    OurNvme() : OurNvme(std::shared_ptr(make_nvme_place())) {}
    explicit OurNvme(DriverOptions options)
        : OurNvme(std::shared_ptr(make_nvme_place()), std::move(options)) {}
    explicit OurNvme(const std::shared_ptr<DiskPlace>& where) : OurNvme(where, where->options()) {}
    OurNvme(std::shared_ptr<DiskPlace> where, DriverOptions options)
        : Ours(nvme::description, std::move(where), std::move(options)) {}
};

}  // namespace outboard::test
