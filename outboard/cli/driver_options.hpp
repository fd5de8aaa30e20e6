// What the verbs that start a driver let the user say to it.
#pragma once

#include "outboard/classes/driver.hpp"

#include <string>

#include <CLI/App.hpp>

namespace outboard::cli {

struct DriverWords {
    std::string write_cache;   ///< "on", "off", or empty: as the device is
    long timeout_seconds = 0;  ///< deadline of one command; 0: the driver's own
    bool no_dma = false;
    std::string completion = "adaptive";
};

/// Adds --write-cache, --timeout, --no-dma and --completion; `words` must outlive the parse.
void add_driver_options(CLI::App& verb, DriverWords& words);

/// The driver's options; what it reports goes to standard error, a line each.
DriverOptions driver_options(const DriverWords& words);

}  // namespace outboard::cli
