// Data structures that a controller hands out: Identify and log pages (NVM Express base specification 1.4,
// 5.14 and 5.15).
#pragma once

#include "outboard/base/endian.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace outboard::sim::nvme {

inline constexpr std::size_t identify_bytes = 4096;

/// Identify Controller (figure 247). Reserved fields, and those of optional features that this controller
/// lacks, are filler.
struct ControllerData {
    Le16 vendor;                      ///< VID
    Le16 subsystem_vendor;            ///< SSVID
    std::array<char, 20> serial;      ///< SN: ASCII, padded with blanks, as the next two
    std::array<char, 40> model;       ///< MN
    std::array<char, 8> firmware;     ///< FR
    std::uint8_t arbitration_burst;   ///< RAB
    std::array<std::uint8_t, 3> oui;  ///< IEEE
    std::uint8_t multipath;           ///< CMIC
    std::uint8_t max_transfer;        ///< MDTS: 2^n pages of the smallest size; 0: any
    Le16 controller_id;               ///< CNTLID
    Le32 version;                     ///< VER
    Le32 resume_latency;              ///< RTD3R
    Le32 entry_latency;               ///< RTD3E
    Le32 optional_events;             ///< OAES
    Le32 attributes;                  ///< CTRATT
    Le16 read_recovery_levels;        ///< RRLS
    std::array<std::uint8_t, 9> filler102;
    std::uint8_t controller_type;  ///< CNTRLTYPE: 1 is an I/O controller
    std::array<std::uint8_t, 144> filler112;
    Le16 optional_admin_commands;        ///< OACS
    std::uint8_t abort_limit;            ///< ACL: one less
    std::uint8_t async_event_limit;      ///< AERL: one less
    std::uint8_t firmware_updates;       ///< FRMW
    std::uint8_t log_page_attributes;    ///< LPA
    std::uint8_t error_log_entries;      ///< ELPE: one less
    std::uint8_t power_states;           ///< NPSS: one less
    std::uint8_t vendor_admin_commands;  ///< AVSCC
    std::uint8_t autonomous_power;       ///< APSTA
    Le16 warning_temperature;            ///< WCTEMP, kelvin
    Le16 critical_temperature;           ///< CCTEMP, kelvin
    std::array<std::uint8_t, 242> filler270;
    std::uint8_t submission_entry_sizes;  ///< SQES: smallest in bits 3:0, largest in 7:4, as 2^n
    std::uint8_t completion_entry_sizes;  ///< CQES
    Le16 max_commands;                    ///< MAXCMD
    Le32 namespaces;                      ///< NN
    Le16 optional_io_commands;            ///< ONCS
    Le16 fused_operations;                ///< FUSES
    std::uint8_t format_attributes;       ///< FNA
    std::uint8_t write_cache;             ///< VWC
    Le16 atomic_write;                    ///< AWUN, blocks, one less
    Le16 atomic_write_power_fail;         ///< AWUPF
    std::array<std::uint8_t, 6> filler530;
    Le32 scatter_gather;          ///< SGLS
    Le32 max_allowed_namespaces;  ///< MNAN
    std::array<std::uint8_t, 224> filler544;
    std::array<char, 256> qualified_name;  ///< SUBNQN: ended by a zero
    std::array<std::uint8_t, 1024> filler1024;
    Le16 power_state0_maximum;  ///< PSD0.MP, in 0.01 W
    std::array<std::uint8_t, 2046> filler2050;
};
static_assert(sizeof(ControllerData) == identify_bytes);
static_assert(offsetof(ControllerData, firmware) == 64);
static_assert(offsetof(ControllerData, max_transfer) == 77);
static_assert(offsetof(ControllerData, version) == 80);
static_assert(offsetof(ControllerData, controller_type) == 111);
static_assert(offsetof(ControllerData, optional_admin_commands) == 256);
static_assert(offsetof(ControllerData, critical_temperature) == 268);
static_assert(offsetof(ControllerData, submission_entry_sizes) == 512);
static_assert(offsetof(ControllerData, namespaces) == 516);
static_assert(offsetof(ControllerData, write_cache) == 525);
static_assert(offsetof(ControllerData, scatter_gather) == 536);
static_assert(offsetof(ControllerData, qualified_name) == 768);
static_assert(offsetof(ControllerData, power_state0_maximum) == 2048);

/// A namespace's format (figure 246).
struct BlockFormat {
    Le16 metadata_bytes;
    std::uint8_t block_shift;  ///< LBADS: 2^n bytes
    std::uint8_t performance;
};
static_assert(sizeof(BlockFormat) == 4);

/// Identify Namespace (figure 245).
struct NamespaceData {
    Le64 size;              ///< NSZE, blocks
    Le64 capacity;          ///< NCAP
    Le64 used;              ///< NUSE
    std::uint8_t features;  ///< NSFEAT
    std::uint8_t formats;   ///< NLBAF: one less
    std::uint8_t format;    ///< FLBAS
    std::array<std::uint8_t, 6> filler27;
    std::uint8_t deallocation;  ///< DLFEAT: bits 2:0 what is read after it
    std::array<std::uint8_t, 70> filler34;
    std::array<std::uint8_t, 16> guid;  ///< NGUID
    std::array<std::uint8_t, 8> eui64;  ///< EUI64
    std::array<BlockFormat, 16> block_formats;
    std::array<std::uint8_t, 3904> filler192;
};
static_assert(sizeof(NamespaceData) == identify_bytes);
static_assert(offsetof(NamespaceData, deallocation) == 33);
static_assert(offsetof(NamespaceData, guid) == 104);
static_assert(offsetof(NamespaceData, block_formats) == 128);

/// Heads an entry of the namespace identification descriptors (figure 249).
struct NamespaceDescriptor {
    std::uint8_t type;
    std::uint8_t length;
    Le16 filler2;
};
static_assert(sizeof(NamespaceDescriptor) == 4);
inline constexpr std::uint8_t descriptor_eui64 = 1;
inline constexpr std::uint8_t descriptor_guid = 2;

/// An entry of the error information log (figure 192).
struct ErrorEntry {
    Le64 count;  ///< of errors, from 1 on; 0: no entry
    Le16 submission_queue;
    Le16 identifier;
    Le16 status;  ///< as in the completion, with its phase
    Le16 location;
    Le64 block;
    Le32 namespace_id;
    std::array<std::uint8_t, 36> filler28;
};
static_assert(sizeof(ErrorEntry) == 64);
static_assert(offsetof(ErrorEntry, block) == 16);

/// A counter of 16 bytes.
struct Counter128 {
    Le64 low;
    Le64 high;
};

/// SMART / health information (figure 194).
struct HealthLog {
    std::uint8_t critical_warning;            ///< bit 1: a temperature threshold
    std::array<std::uint8_t, 2> temperature;  ///< kelvin, not aligned
    std::uint8_t spare;                       ///< per cent, as the next two
    std::uint8_t spare_threshold;
    std::uint8_t used;
    std::array<std::uint8_t, 26> filler6;
    Counter128 data_read;  ///< in 1000 units of 512 bytes, rounded up
    Counter128 data_written;
    Counter128 read_commands;
    Counter128 write_commands;
    Counter128 busy_minutes;
    Counter128 power_cycles;
    Counter128 power_on_hours;
    Counter128 unsafe_shutdowns;
    Counter128 media_errors;
    Counter128 error_entries;
    std::array<std::uint8_t, 320> filler192;
};
static_assert(sizeof(HealthLog) == 512);
static_assert(offsetof(HealthLog, data_read) == 32);
static_assert(offsetof(HealthLog, error_entries) == 176);
inline constexpr std::uint8_t warning_temperature_bit = 0x02;

/// Firmware slot information (figure 195).
struct FirmwareLog {
    std::uint8_t active;  ///< bits 2:0
    std::array<std::uint8_t, 7> filler1;
    std::array<std::array<char, 8>, 7> slots;
    std::array<std::uint8_t, 448> filler64;
};
static_assert(sizeof(FirmwareLog) == 512);

}  // namespace outboard::sim::nvme
