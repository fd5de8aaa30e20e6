#!/bin/sh
# Tests of the ublk export, inside a lab machine with an IDE, an AHCI, an NVMe or a virtio disk. Everything between the file system and the disk is at
# work; the disk is QEMU's.
#
# usage: guest_ublk.sh CASE[,CASE…]
set -u
case $1 in
*,*)
    for case_name in $(echo "$1" | tr , ' '); do
        "$0" "$case_name" || exit
    done
    exit 0
    ;;
esac
case ${OUTBOARD_LAB_DEVICES-} in
*nvme0=*)
    device=${OUTBOARD_LAB_DEVICES##*nvme0=}
    device=${device%% *}
    kernel_driver=nvme
    ;;
*ahci0=*)
    device=0000:00:05.0
    kernel_driver=ahci
    ;;
*virtio-blk0=*)
    device=${OUTBOARD_LAB_DEVICES##*virtio-blk0=}
    device=${device%% *}
    kernel_driver=virtio-pci
    ;;
*)
    device=0000:00:04.0
    kernel_driver=ata_piix
    ;;
esac
mnt=/tmp/mnt
case_name=$1
rm -f /tmp/run-*.log  # what a case before waited for
seconds=4
server=

fail() {
    echo "FAILED: $*" >&2
    for log in /tmp/run*.log; do [ -e "$log" ] && { echo "-- $log"; cat "$log"; } >&2; done
    dmesg | tail -n 20 >&2
    exit 1
}

# must COMMAND…: a step that has to succeed.
must() {
    "$@" || fail "$* ended with status $?"
}

# await SECONDS COMMAND…: until the command succeeds.
await() {
    tries=$(($1 * 10))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}

# start NAME [OPTIONS…]: serves the disk; its line is in /tmp/run-NAME.log.
start() {
    log=/tmp/run-$1.log
    shift
    outboard run $device "$@" >"$log" 2>&1 &
    server=$!
    await 30 grep -q /dev/ublkb0 "$log"
    cat "$log"
}

# stop: the orderly end, after which the in-kernel driver has the device again.
stop() {
    kill -TERM $server
    wait $server || fail "outboard run ended with status $?"
    [ ! -e /dev/ublkb0 ] || fail "/dev/ublkb0 is still there"
}

driver() {
    basename "$(readlink "/sys/bus/pci/devices/$device/driver" || true)"
}

is_bound_to() {
    [ "$(driver)" = "$1" ]
}

kernel_disk() {
    disk=$(ls -d /sys/bus/pci/devices/$device/ata*/host*/target*/*/block/* \
        /sys/bus/pci/devices/$device/nvme/nvme*/nvme*n1 \
        /sys/bus/pci/devices/$device/virtio*/block/* 2>/dev/null | head -n 1)
    disk=/dev/${disk##*/}
    [ -b "$disk" ]
}

# queue_threads PID: how many queues are served by threads of their own.
queue_threads() {
    cat /proc/"$1"/task/*/comm | grep -c "^ublk[0-9]* queue"
}

# hardware_queues: of the block device, as the kernel counts them.
hardware_queues() {
    ls -d /sys/block/ublkb0/mq/* | wc -l
}

# contains TEXT FILE: the message that the case is about.
contains() {
    grep -qF -- "$1" "$2" || { cat "$2" >&2; fail "'$1' is not what was said"; }
}

# cpu_ns PID: nanoseconds of processor time that all threads of a process have had.
cpu_ns() {
    cat /proc/"$1"/task/*/schedstat | awk '{ total += $1 } END { printf "%.0f", total }'
}

mounted() {
    mkdir -p $mnt
    must mount -t ext4 "$1" $mnt
}

# write_tree: files of many sizes, with their sums.
write_tree() {
    mkdir -p $mnt/tree
    for size in 1 511 512 4095 4096 65537 1048576 3145729; do
        for copy in 1 2 3 4 5; do
            head -c $size /dev/urandom >$mnt/tree/$size-$copy || fail "cannot write"
        done
    done
    (cd $mnt/tree && sha256sum ./* >/tmp/tree.sums)
}

check_tree() {
    echo 3 >/proc/sys/vm/drop_caches
    (cd $mnt/tree && sha256sum -c /tmp/tree.sums >/dev/null) || fail "what was read is not what was written"
}

case $case_name in

# An ext4 written through Outboard is right under the in-kernel driver, and the reverse.
filesystem)
    start one
    must mkfs.ext4 -q -F /dev/ublkb0
    mounted /dev/ublkb0
    write_tree
    check_tree
    must umount $mnt
    stop
    await 15 kernel_disk
    [ "$(driver)" = $kernel_driver ] || fail "the device was not handed back: $(driver)"
    must e2fsck -fn "$disk"
    mounted "$disk"
    check_tree
    rm -r $mnt/tree
    write_tree
    must umount $mnt
    start two
    mounted /dev/ublkb0
    check_tree
    must umount $mnt
    must e2fsck -fn /dev/ublkb0
    stop
    ;;

# Random mixed sizes, verified; depth 1 and 32.
verify)
    start one
    for depth in 1 32; do
        must fio --name=verify --filename=/dev/ublkb0 --size=256M --rw=randrw --bsrange=512-1M --blockalign=512 --direct=1 \
            --ioengine=libaio --iodepth=$depth --verify=crc32c --verify_fatal=1 --time_based --runtime="$seconds" \
            --output=/tmp/fio.log
    done
    stop
    ;;

# A server killed under load: the file system sees a pause. Twice, so that a taken-over device is taken over again.
takeover)
    start one
    must mkfs.ext4 -q -F /dev/ublkb0
    mounted /dev/ublkb0
    write_tree
    fio --name=verify --directory=$mnt --size=64M --rw=randrw --bsrange=4k-256k --direct=1 --ioengine=libaio --iodepth=16 \
        --verify=crc32c --verify_fatal=1 --time_based --runtime=12 --output=/tmp/fio.log &
    load=$!
    for round in two three; do
        sleep 2.5
        kill -KILL $server
        wait $server
        sleep 0.5
        start $round
        contains "taken over" /tmp/run-$round.log
    done
    outboard run $device >/tmp/busy.log 2>&1 && fail "a second server was allowed"
    contains "process $server serves it as /dev/ublkb0" /tmp/busy.log
    wait $load || { cat /tmp/fio.log; fail "fio saw errors"; }
    check_tree
    must umount $mnt
    must e2fsck -fn /dev/ublkb0
    stop
    await 15 kernel_disk
    ;;

# Several queues, each with a thread: users on all processors; killed under load, taken over with as many queues
# although fewer are asked for. With `batch` many requests at a time go over, where the kernel can.
queues | batch)
    batch=
    if [ $case_name = batch ]; then
        batch=--batch
        start probe --batch --json
        stop
        contains '"batched":true' /tmp/run-probe.log
    fi
    start one --queues 2 $batch
    [ "$(hardware_queues)" -eq 2 ] || fail "there are $(hardware_queues) queues, not 2"
    [ "$(queue_threads $server)" -eq 2 ] || fail "$(queue_threads $server) threads serve queues, not 2"
    must fio --name=verify --filename=/dev/ublkb0 --size=64M --offset_increment=64M --numjobs=4 --rw=randrw --bsrange=512-1M \
        --blockalign=512 --direct=1 --ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --time_based \
        --runtime="$seconds" --output=/tmp/fio.log
    fio --name=verify --filename=/dev/ublkb0 --size=64M --offset_increment=64M --numjobs=4 --rw=randrw --bsrange=4k-256k \
        --direct=1 --ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --time_based --runtime=9 \
        --output=/tmp/fio.log &
    load=$!
    for round in two three; do
        sleep 2
        kill -KILL $server
        wait $server
        sleep 0.5
        start $round --queues 1
        contains "taken over" /tmp/run-$round.log
        [ "$(queue_threads $server)" -eq 2 ] || fail "$(queue_threads $server) threads serve queues, not 2"
    done
    wait $load || { cat /tmp/fio.log; fail "fio saw errors"; }
    stop
    start four --queues 1
    [ "$(hardware_queues)" -eq 1 ] || fail "there are $(hardware_queues) queues, not 1"
    [ "$(queue_threads $server)" -eq 0 ] || fail "one queue got a thread"
    stop
    await 15 kernel_disk
    ;;

# Two disks of one controller by one process: side by side, killed, taken over, ended together.
disks)
    outboard run $device --disk 0,0 >/tmp/words.log 2>&1 && fail "a disk was served twice"
    contains "neither \`all\` nor a list of different numbers" /tmp/words.log
    outboard run $device --disk 0,9 >/tmp/words.log 2>&1 && fail "a disk that is not there was served"
    contains "use disk 9 of $device" /tmp/words.log
    [ "$(driver)" = $kernel_driver ] || fail "the device was not handed back: $(driver)"
    [ ! -e /dev/ublkb0 ] || fail "/dev/ublkb0 is still there"
    start one
    outboard run $device --disk 1 >/tmp/busy.log 2>&1 && fail "a second server was allowed"
    contains "process $server has the device and serves its disk 0 as /dev/ublkb0" /tmp/busy.log
    contains "serve the disks by one: --disk 0,1" /tmp/busy.log
    stop
    start two --disk 0,1 --json
    await 5 grep -q /dev/ublkb1 /tmp/run-two.log
    [ "$(grep -c '"number":[01],' /tmp/run-two.log)" -eq 2 ] || fail "$(cat /tmp/run-two.log)"
    must mkfs.ext4 -q -F /dev/ublkb1
    mounted /dev/ublkb1
    write_tree
    load=
    for target in /dev/ublkb0 $mnt/file; do
        fio --name=verify --filename=$target --size=64M --rw=randrw --bsrange=4k-256k --direct=1 --ioengine=libaio --iodepth=16 \
            --verify=crc32c --verify_fatal=1 --time_based --runtime=8 --output=/tmp/fio-${target##*/}.log &
        load="$load $!"
    done
    sleep 3
    kill -KILL $server
    wait $server
    start three --disk all
    [ "$(grep -c "taken over" /tmp/run-three.log)" -eq 2 ] || fail "$(cat /tmp/run-three.log)"
    outboard run $device --disk 1 >/tmp/busy.log 2>&1 && fail "a second server was allowed"
    contains "process $server serves it as /dev/ublkb1" /tmp/busy.log
    for fio in $load; do
        wait "$fio" || { cat /tmp/fio-*.log; fail "fio saw errors"; }
    done
    check_tree
    must umount $mnt
    must outboard stop $device
    wait $server || fail "outboard run ended with status $?"
    [ ! -e /dev/ublkb0 ] && [ ! -e /dev/ublkb1 ] || fail "a disk is still there"
    await 15 kernel_disk
    ;;

# A device left behind can be removed instead.
removal)
    start one
    must mkfs.ext4 -q -F /dev/ublkb0
    mounted /dev/ublkb0
    kill -KILL $server
    wait $server
    outboard stop $device >/tmp/stop.log 2>&1 && fail "a mounted disk was removed"
    contains "/dev/ublkb0 is mounted at $mnt" /tmp/stop.log
    must outboard stop $device --force
    umount -l $mnt
    await 5 test ! -e /dev/ublkb0
    await 15 kernel_disk
    outboard stop $device >/tmp/stop.log 2>&1 && fail "there was nothing to stop"
    contains "no block device of it is served or left behind" /tmp/stop.log
    # The next server starts afresh, whatever number the old device still has.
    outboard run $device >/tmp/run-two.log 2>&1 &
    server=$!
    await 30 grep -q /dev/ublkb /tmp/run-two.log
    must outboard stop $device
    wait $server || fail "outboard run ended with status $?"
    ;;

# The end while a file system is mounted: users are named and waited for; a second signal ends it, with all data synced.
mounted)
    start one
    must mkfs.ext4 -q -F /dev/ublkb0
    mounted /dev/ublkb0
    write_tree
    kill -TERM $server
    await 5 grep -q "/dev/ublkb0 is mounted at $mnt" /tmp/run-one.log
    check_tree
    kill -TERM $server
    wait $server || fail "outboard run ended with status $?"
    umount -l $mnt
    await 15 kernel_disk
    e2fsck -fp "$disk"
    [ $? -le 1 ] || fail "e2fsck found more than a journal to replay"
    mounted "$disk"
    check_tree
    must umount $mnt
    ;;

# Nothing to do costs nothing, and little memory.
quiet)
    start one
    must mkfs.ext4 -q -F /dev/ublkb0
    fio --name=load --filename=/dev/ublkb0 --size=64M --rw=randread --bs=4k --direct=1 --ioengine=libaio --iodepth=32 \
        --time_based --runtime=2 --output=/tmp/fio.log
    sleep 3
    before=$(cpu_ns $server)
    sleep 10
    after=$(cpu_ns $server)
    echo "idle: $(((after - before) / 1000)) us of CPU in 10 s"
    [ $((after - before)) -le 1000000 ] || fail "that is more than 1 ms"
    # The program itself is shared memory too in a machine that lives in its initramfs, so the arena is looked up.
    rest=$(awk '/^[0-9a-f]+-[0-9a-f]+ / { arena = /memfd:/ } /^Rss:/ { if (!arena) total += $2 } END { print total }' \
        /proc/$server/smaps)
    echo "resident without the arena: $rest KiB"
    [ "$rest" -le 16384 ] || fail "that is more than 16 MiB"
    stop
    ;;

# A file larger than the machine's memory, written through the page cache.
memory)
    start one
    must mkfs.ext4 -q -F /dev/ublkb0
    mounted /dev/ublkb0
    total=$(awk '/^MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo)
    size=$((total * 3 / 2))
    echo "$total MiB of memory, a file of $size MiB"
    must fio --name=large --filename=$mnt/large --size=${size}M --rw=write --bs=1M --ioengine=sync --verify=crc32c \
        --do_verify=0 --end_fsync=1 --output=/tmp/fio.log
    echo 3 >/proc/sys/vm/drop_caches
    must fio --name=large --filename=$mnt/large --size=${size}M --rw=read --bs=1M --ioengine=sync --verify=crc32c \
        --verify_fatal=1 --output=/tmp/fio.log
    [ "$(stat -c %s $mnt/large)" -eq $((size * 1048576)) ] || fail "the file has $(stat -c %s $mnt/large) bytes"
    must umount $mnt
    must e2fsck -fn /dev/ublkb0
    stop
    ;;

# Nobody reads what it prints, and the terminal goes: the disk is drained and the device handed back all the same.
hang_up)
    { outboard run $device --grace 120 2>&1 & echo $! >/tmp/pid; } | head -n 1 >/tmp/run-one.log
    server=$(cat /tmp/pid)
    must mkfs.ext4 -q -F /dev/ublkb0
    mounted /dev/ublkb0
    write_tree
    kill -HUP "$server"
    sleep 1
    check_tree
    must umount $mnt  # which is in no list any more while it still writes
    await 15 kernel_disk
    e2fsck -fn "$disk" >/tmp/e2fsck.log 2>&1 || fail "$(cat /tmp/e2fsck.log)"
    ! grep -q 'skipping journal' /tmp/e2fsck.log || fail "the end of the unmounting was lost"
    mounted "$disk"
    check_tree
    must umount $mnt
    [ ! -e /dev/ublkb0 ] || fail "/dev/ublkb0 is still there"
    ;;

# A kernel without ublk: `run` says so and leaves the device alone, `bench` works.
without_ublk)
    outboard run $device >/tmp/run-one.log 2>&1
    status=$?
    [ $status -eq 6 ] || fail "status $status, not 6"
    contains "this kernel has no user-space block devices (ublk)" /tmp/run-one.log
    contains "CONFIG_BLK_DEV_UBLK" /tmp/run-one.log
    [ "$(driver)" != vfio-pci ] || fail "the device was taken all the same"
    must outboard bench $device --rw randrw --verify --io-size 4k --depth 8 --time 2 --size 64m --json
    ;;

# The direct path: data that was written is found again; a disk that holds something is not overwritten unasked.
bench)
    await 15 kernel_disk
    must mkfs.ext4 -q -F "$disk"
    outboard bench $device --rw randwrite --time 1 >/tmp/bench.log 2>&1
    status=$?
    [ $status -eq 4 ] || fail "status $status, not 4"
    contains "it holds an ext file system; choose another disk, or add --destroy-data" /tmp/bench.log
    [ "$(driver)" = $kernel_driver ] || fail "the device was not handed back: $(driver)"
    await 15 kernel_disk
    must e2fsck -fn "$disk"
    for size in 512 4k 128k 1m; do
        must outboard bench $device --rw randrw --mix 40 --verify --io-size $size --depth 16 --time 2 --size 128m --destroy-data
    done
    outboard bench $device --time 60 >/tmp/bench.log 2>&1 &
    load=$!
    await 15 is_bound_to vfio-pci
    sleep 1
    kill -INT $load
    wait $load && fail "an interrupted measurement ended with status 0"
    contains "a signal came before it was done" /tmp/bench.log
    [ "$(driver)" = $kernel_driver ] || fail "the device was not handed back: $(driver)"
    must outboard bench $device --rw write --verify --io-size 64k --time 3 --size 32m --seed 9 --destroy-data
    must outboard bench $device --rw read --verify --io-size 64k --time 1 --size 32m --seed 9
    outboard bench $device --rw read --verify --io-size 64k --time 1 --size 32m --seed 8 --json >/tmp/bench.log
    status=$?
    [ $status -eq 7 ] || fail "another seed's pattern was accepted: status $status"
    ;;

*) fail "there is no case $case_name" ;;
esac
echo "$case_name: passed"
