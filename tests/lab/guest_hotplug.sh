#!/bin/sh
# What outboardd does when a device leaves the machine and comes back, inside a lab machine with a disk in a hot-plug slot. Lines
# "monitor: …" are carried out by with_monitor.py. The device has the name `plugged` and lies behind the port 00:1a.0.
#
# usage: guest_hotplug.sh CASE[,CASE…] PLUG: what device_add is told
set -u
cases=$1
plug=$2
port=0000:00:1a.0
device=$(basename "$(echo /sys/bus/pci/devices/$port/0000:*:00.0)")
mnt=/tmp/mnt

fail() {
    echo "FAILED: $*" >&2
    for log in /tmp/*.log; do echo "-- $log"; tail -n 40 "$log"; done >&2
    outboard status >&2
    dmesg | tail -n 20 >&2
    exit 1
}

must() {
    "$@" >/tmp/step.log 2>&1 || fail "$* ended with status $?"
}

# field NAME: of the device's status.
field() {
    outboard status --json | sed -n "s|.*\"$1\": \"*\([^\",]*\)\"*,*|\1|p"
}

# await SECONDS COMMAND…
await() {
    tries=$(($1 * 10))
    shift
    until "$@" 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "it did not come to this: $*"
        sleep 0.1
    done
}

last_failure() {
    outboard status --json | sed -n 's|.*"last_failure": "\(.*\)".*|\1|p'
}

in_state() {
    [ "$(field state)" = "$1" ]
}

contains() {
    grep -qF -- "$1" "$2" || fail "'$1' is not in $2"
}

supervise() {
    outboardd >/tmp/outboardd.log 2>&1 &
    supervisor=$!
    await 60 in_state "$1"
}

finish() {
    kill -TERM $supervisor
    await 40 test ! -e /proc/$supervisor/exe
    wait $supervisor || fail "outboardd ended with status $?"
    [ -z "$(pidof outboard-host)$(pidof outboardd)" ] || fail "a process is left"
}

load() {
    must dd if=/dev/urandom of=/tmp/pattern bs=1M count=4
    must dd if=/tmp/pattern of=/dev/ublkb0 bs=1M oflag=direct
    fio --name=load --filename=/dev/ublkb0 --offset=8M --size=64M --rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=8 \
        --time_based --runtime=120 --output=/tmp/fio.log &
    load=$!
    sleep 1
}

# The load ends soon, with errors, and nothing of the disk is left.
load_fails() {
    await 30 test ! -e /proc/$load/exe
    wait $load && fail "fio saw no error"
    contains "Input/output error" /tmp/fio.log
    await 10 test ! -e /dev/ublkb0
    echo "callers of the disk got errors: $(grep -o 'error=[A-Za-z/ ]*' /tmp/fio.log | head -n 1)"
}

works_again() {
    await 60 in_state running
    must dd if=/dev/ublkb0 of=/tmp/read bs=1M count=4 iflag=direct
    must cmp /tmp/pattern /tmp/read
    must mkfs.ext4 -q -F /dev/ublkb0
    must mount -t ext4 /dev/ublkb0 $mnt
    must cp /tmp/pattern $mnt/pattern
    must umount $mnt
    echo "back: $(field state), process $(field host_pid)"
}

mkdir -p /etc/outboard $mnt
[ -e "/sys/bus/pci/devices/$device" ] || fail "there is no device behind $port"
printf '[[device]]\nname = "%s"\n' "$device" >/etc/outboard/device.toml

for case in $(echo "$cases" | tr , ' '); do
    echo "== $case"
    case $case in

    # The operator pulls it out by the attention button: there is time for an orderly end. Then it is plugged in again.
    button)
        supervise running
        load
        echo "monitor: device_del plugged"
        await 60 in_state removed
        load_fails
        contains "the kernel wants it back" /tmp/outboardd.log
        [ ! -e "/sys/bus/pci/devices/$device" ] || fail "it is still there"
        outboard start "$device" >/tmp/words.log 2>&1 && fail "a device that is not there was started"
        echo "monitor: device_add $plug"
        works_again
        finish
        ;;

    # Not there at the start: it is waited for.
    absent)
        echo 1 >"/sys/bus/pci/devices/$device/remove"
        await 10 test ! -e "/sys/bus/pci/devices/$device"
        supervise removed
        must dd if=/dev/urandom of=/tmp/pattern bs=1M count=4
        echo 1 >/sys/bus/pci/rescan
        await 60 in_state running
        must dd if=/tmp/pattern of=/dev/ublkb0 bs=1M oflag=direct
        works_again
        finish
        ;;

    # Somebody takes it from vfio-pci: it ends in order, with all data written, and vfio-pci is not forced on it any more.
    unbind)
        supervise running
        must mkfs.ext4 -q -F /dev/ublkb0
        must mount -t ext4 /dev/ublkb0 $mnt
        must dd if=/dev/urandom of=$mnt/pattern bs=1M count=4
        must cp $mnt/pattern /tmp/pattern
        timeout 60 sh -c "echo $device >/sys/bus/pci/drivers/vfio-pci/unbind" || fail "the kernel did not get it back"
        await 10 in_state stopped
        contains "the kernel wants it back" /tmp/outboardd.log
        [ "$(cat "/sys/bus/pci/devices/$device/driver_override")" = "(null)" ] || fail "it has an override still"
        umount -l $mnt
        echo "$device" >/sys/bus/pci/drivers_probe
        await 15 test -e "/sys/bus/pci/devices/$device/nvme"
        disk=/dev/$(basename "$(echo "/sys/bus/pci/devices/$device"/nvme/nvme*/nvme*n1)")
        e2fsck -fp "$disk" >/tmp/step.log 2>&1
        [ $? -le 1 ] || fail "e2fsck found more than a journal to replay"
        must mount -t ext4 "$disk" $mnt
        must cmp /tmp/pattern $mnt/pattern
        must umount $mnt
        must outboard start "$device"
        finish
        ;;

    # The device reports an error by AER: its host is ended, the device reset, the next host goes on, and nobody sees it.
    error)
        supervise running
        host=$(field host_pid)
        must mkfs.ext4 -q -F /dev/ublkb0
        must mount -t ext4 /dev/ublkb0 $mnt
        fio --name=verify --directory=$mnt --size=32M --rw=randrw --bsrange=4k-128k --direct=1 --ioengine=libaio --iodepth=8 \
            --verify=crc32c --verify_fatal=1 --time_based --runtime=15 --output=/tmp/fio.log &
        load=$!
        sleep 3
        echo "monitor: pcie_aer_inject_error plugged COMP_TIME"
        await 60 sh -c 'outboard status --json | grep -q "the device reported an error (PCI Express AER)"'
        await 60 in_state running
        [ "$(field host_pid)" != "$host" ] || fail "the host is still $host"
        wait $load || fail "fio saw errors"
        must umount $mnt
        must e2fsck -fn /dev/ublkb0
        echo "last_failure: $(last_failure)"
        finish
        ;;

    # The device goes where it must not: its registers are written behind its driver's back.
    quarantine)
        supervise running
        load
        host=$(field host_pid)
        bar=$(sed -n '1s/ .*//p' "/sys/bus/pci/devices/$device/resource")
        must devmem $((bar + 0x14)) 32 0
        must devmem $((bar + 0x24)) 32 0x001f001f
        must devmem $((bar + 0x28)) 32 0x0badb000
        must devmem $((bar + 0x2c)) 32 0
        must devmem $((bar + 0x14)) 32 0x00460001
        must devmem $((bar + 0x1000)) 32 1
        await 20 in_state quarantined
        load_fails
        echo "last_failure: $(last_failure)"
        last_failure | grep -q "IOMMU fault: it tried to read memory at 0xbadb000" || fail "its reason is another"
        [ ! -e "/proc/$host" ] || fail "its host is still there"
        # Nobody gets it: not by a stop, not by another process, not by the end of outboardd.
        outboard stop "$device" >/tmp/words.log 2>&1 && fail "it was stopped"
        contains "it is in quarantine" /tmp/words.log
        outboard bench "$device" >/tmp/words.log 2>&1 && fail "it was driven"
        kill -KILL $supervisor
        wait $supervisor
        supervise quarantined
        must outboard start "$device"
        works_again
        finish
        ;;
    *) fail "there is no case $case" ;;
    esac
done
echo "all of it"
