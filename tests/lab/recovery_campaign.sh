#!/bin/sh
# The recovery campaign in a lab machine: kills the host of a device N times under a verified load on a file system, and prints
# {"kills":N,"io_errors":0,"mismatches":0,"pause_ms":{"p50":…,"p99":…,"max":…},…}; fails when a user saw an error.
#
# usage: recovery_campaign.sh [--kills N] [--device nvme|ahci|virtio-blk|ide] [--signal N] [--hang-ms N] [--kernel VERSION] [--build DIR]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$here/../../build/release
kills=20
device=nvme
signal=9
hang_ms=20000
kernel=6.12
while [ $# -ge 2 ]; do
    case $1 in
    --kills) kills=$2 ;;
    --device) device=$2 ;;
    --signal) signal=$2 ;;
    --hang-ms) hang_ms=$2 ;;
    --kernel) kernel=$2 ;;
    --build) build=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ $# -eq 0 ] || {
    sed -n '5s/^# //p' "$0" >&2
    exit 2
}
# A kill takes some seconds of a machine that is emulated.
exec "$build/bin/outboard" lab --timeout $((300 + kills * 10)) --kernel "$kernel" --device "$device" \
    --script "$here/guest_recovery.sh" -- "$kills" "$signal" "$hang_ms" </dev/null
