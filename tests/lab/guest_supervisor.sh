#!/bin/sh
# What outboardd promises besides recovery, inside a lab machine with an NVMe disk: it may be killed itself, alone and with everything
# else; drivers are exchanged under load; a stop waits for nobody and names users; bad configuration and a noisy client harm nothing.
set -u
device=${OUTBOARD_LAB_DEVICES##*nvme0=}
device=${device%% *}
mnt=/tmp/mnt
socket=/run/outboard/control

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

await_state() {
    tries=600
    until [ "$(field state)" = "$1" ]; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "the device is not $1 but $(field state)"
        sleep 0.1
    done
}

# supervise NAME: starts outboardd, whose log is /tmp/outboardd-NAME.log.
supervise() {
    outboardd >"/tmp/outboardd-$1.log" 2>&1 &
    supervisor=$!
    await_state running 2>/dev/null
}

contains() {
    grep -qF -- "$1" "$2" || fail "'$1' is not in $2"
}

mkdir -p /etc/outboard $mnt
printf '[[device]]\nname = "%s"\n[device.restart]\nlimit = 1000\n' "$device" >/etc/outboard/1.toml
printf '[[device]]\nname = "0000:00:1f.2"\nqueues = "many"\n' >/etc/outboard/2.toml
printf '[[device]]\nname = "%s"\n' "$device" >/etc/outboard/3.toml
supervise one
contains "/etc/outboard/2.toml:3: 'queues' is a whole number from 1 to 4096" /tmp/outboardd-one.log
contains "/etc/outboard/3.toml:1: 'name' $device is here for the second time" /tmp/outboardd-one.log
must mkfs.ext4 -q -F /dev/ublkb0
must mount -t ext4 /dev/ublkb0 $mnt
fio --name=verify --directory=$mnt --size=64M --rw=randrw --bsrange=4k-128k --direct=1 --ioengine=libaio --iodepth=16 \
    --verify=crc32c --verify_fatal=1 --time_based --runtime=30 --output=/tmp/fio.log &
load=$!

# A host has no rights, whatever its driver does.
host=$(field host_pid)
for line in 'Uid:.65534.65534.65534.65534' 'CapEff:.0000000000000000' 'CapBnd:.0000000000000000' 'NoNewPrivs:.1' 'Seccomp:.2'; do
    grep -q "^$line$" "/proc/$host/status" || fail "the host is not in its sandbox: $line"
done
[ "$(readlink "/proc/$host/ns/net")" != "$(readlink /proc/self/ns/net)" ] || fail "the host has a network"

# The supervisor alone: the host goes on, the next one adopts it, and finds its death.
sleep 1
host=$(field host_pid)
kill -KILL $supervisor
wait $supervisor
kill -0 "$host" || fail "the host went with its supervisor"
sleep 1
supervise two
[ "$(field host_pid)" = "$host" ] || fail "the host was not adopted but $(field host_pid)"
kill -KILL "$host"
sleep 0.5
await_state running
[ "$(field host_pid)" != "$host" ] || fail "the host is still $host"

# Supervisor and host together.
host=$(field host_pid)
kill -KILL $supervisor "$host"
wait $supervisor
sleep 1
supervise three
[ "$(field host_pid)" != "$host" ] || fail "the host is still $host"

# Everything: what the kernel has left of the disk is taken over.
host=$(field host_pid)
kill -KILL $supervisor "$host" $(pidof outboard-host) $(pidof outboardd)
wait $supervisor
sleep 1
supervise four
contains "goes on with block devices" /tmp/outboardd-four.log
grep -q "ended:" /tmp/outboardd-four.log && fail "the host that took them over did not live"

# Other drivers, under load; one that cannot drive it is no harm.
host=$(field host_pid)
must outboard upgrade "$device" --driver nvme
[ "$(field host_pid)" != "$host" ] || fail "the host is still $host"
outboard upgrade "$device" --driver ahci >/tmp/words.log 2>&1 && fail "ahci drives an NVMe disk"
contains "the driver ahci does not know" /tmp/words.log
await_state running
outboard stop "$device" >/tmp/words.log 2>&1 && fail "a mounted disk was stopped"
contains "/dev/ublkb0 is mounted at $mnt" /tmp/words.log

wait $load || fail "fio saw errors"
must umount $mnt
must e2fsck -fn /dev/ublkb0
must outboard stop "$device"
[ "$(field state)" = stopped ] || fail "the device is $(field state)"
[ ! -e /dev/ublkb0 ] || fail "/dev/ublkb0 is still there"
must outboard start "$device"
[ -e /dev/ublkb0 ] || fail "/dev/ublkb0 is not there"
kill -TERM $supervisor
wait $supervisor || fail "outboardd ended with status $?"
[ ! -e $socket ] || fail "its socket is still there"
[ ! -e /dev/ublkb0 ] || fail "/dev/ublkb0 is still there"
sleep 0.2
[ -z "$(pidof outboard-host)$(pidof outboardd)" ] || fail "a process is left"
echo "all of it"
