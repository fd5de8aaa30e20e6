#!/bin/sh
# The guest's half of ./demo and bench/compare: measures a disk under the in-kernel driver and under Outboard, in turns, and has
# Outboard carry a file system that the in-kernel driver then checks. Writes what bench/measurements.py reads.
#
# usage: disk.sh [--huge-buffers] [--paths "PATH…"] CONTROLLER OUT ROUNDS SECONDS [TREE SUM]
#   --huge-buffers  fio's buffers lie in huge pages: how many pieces they have in memory is no matter of luck then
#   --paths     what is measured, in turns: kernel-unprotected, kernel-protected, ublk (by `outboard run`), supervised (ublk, by
#               outboardd) and direct; all but supervised where it is not given
#   CONTROLLER  PCI address of the controller; the disk is its first, of at least 1536 MiB
#   SECONDS     of one measurement
#   TREE        block device that holds a tar archive, a source tree and its SHA256SUMS; without it there is no file system
#   SUM         the sha256 of SHA256SUMS
set -eu
buffers=
if [ "$1" = --huge-buffers ]; then
    mkdir -p /tmp/huge
    mount -t hugetlbfs none /tmp/huge
    echo 4 >/proc/sys/vm/nr_hugepages
    buffers=--iomem=mmaphuge:/tmp/huge/buffers
    shift
fi
paths='kernel-unprotected kernel-protected ublk direct'
if [ "$1" = --paths ]; then
    paths=$2
    shift 2
fi
controller=$1 out=$2 rounds=$3 seconds=$4 tree=${5-} sum=${6-}

sysfs=/sys/bus/pci/devices/$controller
file_system=512M  # from the start of the disk; the rest is for measuring, so that the two do not meet
range='--offset=512M --size=1G'
warm_up=0.5
mnt=/tmp/mnt
server=

die() {
    echo "disk.sh: $*" >&2
    exit 1
}

# await SECONDS WHAT COMMAND…: until the command succeeds.
await() {
    tries=$(($1 * 20)) what=$2
    shift 2
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "waited in vain for $what"
        sleep 0.05
    done
}

# --- who drives the controller ---

# Below IDE and AHCI controllers, NVMe controllers, virtio devices.
kernel_disk() {
    disk=$(ls -d "$sysfs"/ata*/host*/target*/*/block/* "$sysfs"/nvme/nvme*/nvme*n* "$sysfs"/virtio*/block/* 2>/dev/null |
        head -n 1)
    disk=/dev/${disk##*/}
    [ -b "$disk" ]
}

# kernel_drives identity|DMA: gives the controller to the in-kernel driver, the IOMMU passing through or translating.
kernel_drives() {
    nobody_drives
    echo "$1" >"$sysfs/iommu_group/type"
    [ "$(cat "$sysfs/iommu_group/type")" = "$1" ] || die "the IOMMU group did not take the type $1"
    echo "$controller" >/sys/bus/pci/drivers_probe
    await 15 "the in-kernel driver's disk" kernel_disk
}

outboard_drives() {
    stop_server
    [ "$(driver)" = vfio-pci ] || nobody_drives
    outboard bind "$controller" >/dev/null
}

nobody_drives() {
    stop_server
    if [ "$(driver)" = vfio-pci ]; then
        outboard unbind "$controller" >/dev/null
    fi
    if [ -e "$sysfs/driver" ]; then
        echo "$controller" >"$sysfs/driver/unbind"
    fi
}

driver() {
    basename "$(readlink "$sysfs/driver" || true)"
}

start_server() {
    outboard run "$controller" --export ublk >"$out/server.log" 2>&1 &
    server=$!
    await 15 /dev/ublkb0 test -b /dev/ublkb0
}

stop_server() {
    [ -n "$server" ] || return 0
    kill -TERM "$server"
    wait "$server" || die "the server ended with status $?: $(cat "$out/server.log")"
    server=
}

# The same by outboardd, in a host of its own.
start_supervisor() {
    mkdir -p /etc/outboard
    printf '[[device]]\nname = "%s"\n' "$controller" >/etc/outboard/bench.toml
    outboardd >"$out/server.log" 2>&1 &
    server=$!
    await 15 /dev/ublkb0 test -b /dev/ublkb0
}

stop_supervisor() {
    outboard stop "$controller" >/dev/null
    stop_server
}

# --- measuring ---

snapshot() {
    cat /proc/uptime
    grep '^cpu' /proc/stat
    grep -E '^now at |_sleeptime *:' /proc/timer_list
}

# watched FILE COMMAND…: runs the command, its output to FILE.json, and takes FILE.cpu while it is at work.
watched() {
    file=$1
    shift
    "$@" >"$file.json" 2>"$file.err" &
    job=$!
    sleep "$before"
    snapshot >"$file.cpu"
    sleep "$inside"
    snapshot >>"$file.cpu"
    wait "$job" || die "$file failed: $(cat "$file.err")"
}
# The snapshots lie inside the run: after the program's start and the warm-up, before its end.
before=$(awk "BEGIN { print $warm_up + 0.4 }")
inside=$(awk "BEGIN { print $seconds - 0.5 }")

# workload NAME: sets the words fio and outboard bench need.
workload() {
    case $1 in
        randread-4k-qd1) operation=randread block=4k depth=1 ;;
        randread-4k-qd32) operation=randread block=4k depth=32 ;;
        randwrite-4k-qd32) operation=randwrite block=4k depth=32 ;;
        read-128k-qd8) operation=read block=128k depth=8 ;;
        write-128k-qd8) operation=write block=128k depth=8 ;;
        *) die "no workload $1" ;;
    esac
}

with_fio() {
    fio --name=job --filename="$1" --ioengine=$engine --direct=1 --rw=$operation --bs=$block --iodepth=$depth \
        $range $buffers --time_based --runtime="$seconds" --ramp_time=$warm_up --norandommap --randrepeat=1 \
        --lat_percentiles=1 --clat_percentiles=0 --percentile_list=50:99:99.9 --output-format=json
}

with_bench() {
    outboard bench "$1" --rw $operation --io-size $block --depth $depth $range --time "$seconds" --warmup $warm_up \
        --destroy-data --json
}
engine=io_uring

# measure ROUND PATH MEASURER TARGET: all workloads on one path.
measure() {
    directory=$out/round-$1/$2
    mkdir -p "$directory"
    for name in randread-4k-qd1 randread-4k-qd32 randwrite-4k-qd32 read-128k-qd8 write-128k-qd8; do
        workload $name
        watched "$directory/$name" "$3" "$4"
        iops=$(awk -F '[:,]' '/"iops"/ && $2 > most { most = $2 } END { printf "%d", most }' "$directory/$name.json")
        echo "round $1 of $rounds: $2, $name: $iops IOPS"
    done
}

measure_path() {
    case $2 in
        kernel-unprotected)
            kernel_drives identity
            measure "$1" $2 with_fio "$disk"
            ;;
        kernel-protected)
            kernel_drives DMA
            measure "$1" $2 with_fio "$disk"
            ;;
        ublk)
            outboard_drives
            start_server
            measure "$1" $2 with_fio /dev/ublkb0
            stop_server
            ;;
        supervised)
            outboard_drives
            start_supervisor
            measure "$1" $2 with_fio /dev/ublkb0
            stop_supervisor
            ;;
        direct)
            outboard_drives
            measure "$1" $2 with_bench "$controller"
            ;;
        *) die "no path $2" ;;
    esac
}

# --- the file system ---

# check_tree DIRECTORY: every file has the content it was made with, and none is missing.
check_tree() {
    echo "$sum  $1/SHA256SUMS" | sha256sum -c -s || return 1
    (cd "$1" && sha256sum -c -s SHA256SUMS)
}

write_file_system() {
    echo "ext4 on /dev/ublkb0"
    mkfs.ext4 -q -F /dev/ublkb0 $file_system
    mkdir -p $mnt
    mount -t ext4 /dev/ublkb0 $mnt
    echo "writing the source tree"
    tar -xf "$tree" -C $mnt
    sync
    umount $mnt
    echo 3 >/proc/sys/vm/drop_caches
    echo "reading it back"
    mount -t ext4 /dev/ublkb0 $mnt
    check_tree $mnt || die "what was read back through ublk is not what was written"
    files=$(wc -l <$mnt/SHA256SUMS)
    bytes=$(find $mnt -type f -exec stat -c %s {} + | awk '{ total += $1 } END { printf "%.0f", total }')
    umount $mnt
}

# The in-kernel driver checks, on the bare disk, what Outboard wrote.
check_file_system() {
    if e2fsck -fn "$disk" >"$out/e2fsck.log" 2>&1; then e2fsck=clean; else e2fsck="status $?"; fi
    mount -t ext4 -o ro "$disk" $mnt
    if check_tree $mnt; then equal=yes; else equal=no; fi
    umount $mnt
    printf 'bytes=%s\nfiles=%s\nchecksums_equal=%s\ne2fsck=%s\n' "$bytes" "$files" $equal "$e2fsck" >"$out/filesystem.txt"
    echo "checksums equal: $equal; e2fsck: $e2fsck"
}

# --- the demonstration ---

mkdir -p "$out"
trap 'if [ -n "$server" ]; then kill -KILL "$server"; fi' EXIT

kernel_drives identity
{
    echo "kernel=$(uname -r)"
    echo "processors=$(nproc)"
    echo "memory_mib=$(awk '/^MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo)"
    echo "controller=$(lspci -s "$controller" | sed 's/^[^ ]* [^:]*: //')"
    model=/sys/block/${disk##*/}/device/model  # virtio has none
    echo "disk=$([ ! -e "$model" ] || sed 's/ *$//' "$model")"
    echo "rounds=$rounds"
    echo "fio=$(fio --version), $engine"
} >"$out/guest.txt"

if [ -n "$tree" ]; then
    echo "taking the controller over"
    outboard_drives
    start_server
    write_file_system
fi
round=1
while [ "$round" -le "$rounds" ]; do
    for path in $paths; do
        measure_path "$round" "$path"
    done
    round=$((round + 1))
done
echo "giving the controller back to the in-kernel driver"
kernel_drives identity
if [ -n "$tree" ]; then
    check_file_system
fi
