#!/bin/sh
# Kills the host of a disk again and again under a file system with a verified load, inside a lab machine with an IDE, an AHCI, an NVMe
# or a virtio disk. Prints one line of JSON: {"kills":N,"io_errors":0,"mismatches":0,"pause_ms":{"p50":…,"p99":…,"max":…},…}.
#
# usage: guest_recovery.sh KILLS [SIGNAL [HANG_MS]]
set -u
case ${OUTBOARD_LAB_DEVICES-} in
*nvme0=*) device=${OUTBOARD_LAB_DEVICES##*nvme0=} ;;
*virtio-blk0=*) device=${OUTBOARD_LAB_DEVICES##*virtio-blk0=} ;;
*ahci0=*) device=0000:00:05.0 ;;
*) device=0000:00:04.0 ;;
esac
device=${device%% *}
mnt=/tmp/mnt
kills=$1
signal=${2-9}
hang_ms=${3-20000}

fail() {
    echo "FAILED: $*" >&2
    for log in /tmp/*.log; do [ -e "$log" ] && { echo "-- $log"; tail -n 40 "$log"; } >&2; done
    outboard status >&2
    dmesg | tail -n 20 >&2
    exit 1
}

must() {
    "$@" >/tmp/step.log 2>&1 || fail "$* ended with status $?"
}

mkdir -p /etc/outboard $mnt
cat >/etc/outboard/lab.toml <<END
[[device]]
name = "$device"
[device.restart]
limit = 100000
hang_ms = $hang_ms
END
outboardd >/tmp/outboardd.log 2>&1 &
supervisor=$!
tries=300
until outboard status 2>/dev/null | grep -q running; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || fail "outboardd did not start the device"
    sleep 0.1
done
disk=$(outboard status --json | sed -n 's|.*"\(/dev/ublkb[0-9]*\)".*|\1|p')
must mkfs.ext4 -q -F "$disk"
must mount -t ext4 "$disk" $mnt

# One verified run after the other, for a run of fio knows its end beforehand.
(
    io_errors=0
    mismatches=0
    runs=0
    until [ -e /tmp/enough ]; do
        runs=$((runs + 1))
        if ! fio --name=verify --directory=$mnt --size=32M --rw=randrw --bsrange=4k-128k --direct=1 --ioengine=libaio --iodepth=16 \
            --verify=crc32c --verify_fatal=1 --time_based --runtime=10 --output=/tmp/fio.log; then
            if grep -q 'verify: bad' /tmp/fio.log; then mismatches=$((mismatches + 1)); else io_errors=$((io_errors + 1)); fi
        fi
    done
    echo "$io_errors $mismatches $runs" >/tmp/load
) &
load=$!
guest_recovery --device "$device" --disk "$disk" --kills "$kills" --signal "$signal" --supervisor $supervisor >/tmp/campaign.json \
    2>/tmp/campaign.log || fail "the campaign did not come to its end"
: >/tmp/enough
wait $load
read -r io_errors mismatches runs </tmp/load
must umount $mnt
must e2fsck -fn "$disk"
probe_errors=$(sed -n 's/.*"probe_errors":\([0-9]*\).*/\1/p' /tmp/campaign.json)
outboard status --json >/tmp/status.json
kill -TERM $supervisor
wait $supervisor || fail "outboardd ended with status $?"
[ ! -e "$disk" ] || fail "$disk is still there"
sed "s/^{/{\"io_errors\":$((io_errors + probe_errors)),\"mismatches\":$mismatches,\"load_runs\":$runs,/" /tmp/campaign.json
[ "$io_errors$mismatches$probe_errors" = 000 ] || fail "users saw errors"
