#!/bin/sh
# outboardd with the capabilities that its unit leaves it, inside a lab machine with an NVMe disk: everything that it is there for works,
# and it says of nothing that it is not permitted.
#
# usage: guest_service.sh, with the unit as /tmp/outboardd.service
set -u
device=${OUTBOARD_LAB_DEVICES##*nvme0=}
device=${device%% *}
log=/tmp/outboardd.log

fail() {
    echo "FAILED: $*" >&2
    cat $log >&2
    outboard status >&2
    exit 1
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

field() {
    outboard status --json | sed -n "s|.*\"$1\": \"*\([^\",]*\)\"*,*|\1|p"
}

in_state() {
    [ "$(field state)" = "$1" ]
}

words=$(sed -n 's/^CapabilityBoundingSet=//p' /tmp/outboardd.service | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
[ -n "$words" ] || fail "the unit has no CapabilityBoundingSet"
mkdir -p /etc/outboard /tmp/mnt
echo "outboard-host:x:990:990::/:/bin/false" >>/etc/passwd
echo "outboard:x:991:" >>/etc/group
printf '[[device]]\nname = "%s"\n' "$device" >/etc/outboard/device.toml
ulimit -l unlimited
setpriv --no-new-privs --bounding-set "-all,$words" outboardd >$log 2>&1 &
supervisor=$!
await 60 in_state running
bounded=$(sed -n 's/^CapBnd:\t//p' /proc/$supervisor/status)
host=$(field host_pid)
[ "$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$host/status")" = 990 ] || fail "the host is not outboard-host"
[ "$(stat -c %G /run/outboard/control)" = outboard ] || fail "the control socket is not the group's"
mkfs.ext4 -q -F /dev/ublkb0 && mount -t ext4 /dev/ublkb0 /tmp/mnt || fail "the disk does not work"
kill -KILL "$host"
sleep 0.5
await 60 in_state running
[ "$(field host_pid)" != "$host" ] || fail "the host is still $host"
echo word >/tmp/mnt/file && umount /tmp/mnt || fail "the disk does not work any more"
kill -TERM $supervisor
wait $supervisor || fail "outboardd ended with status $?"
grep -iE "not permitted|denied|cannot" $log && fail "something was not permitted"
echo "with capabilities $bounded: all of it"
