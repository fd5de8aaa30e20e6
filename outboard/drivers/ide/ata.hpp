// What of the ATA standards, which serial disks follow as well, this driver uses.
#pragma once

#include "outboard/ata/command.hpp"
#include "outboard/ata/error.hpp"
#include "outboard/ata/identify.hpp"

namespace outboard::ide {

using ata::Direction;
using ata::DiskIdentity;
using ata::Feature;
using ata::Opcode;
using ata::Protocol;
using ata::TaskFile;
using ata::TransferMode;

using ata::flush;
using ata::identify;
using ata::parse_identify;
using ata::set_feature;
using ata::transfer;
using ata::trim;
using ata::trim_range;

using ata::end_of_28;
using ata::max_sectors_28;
using ata::max_sectors_48;
using ata::max_trim_sectors_per_entry;
using ata::trim_entries_per_block;

}  // namespace outboard::ide
