#!/bin/sh
# The kernel's NVMe driver and what stands on it, with the simulated controller at 0000:00:06.0: namespace 1 has blocks of 512
# bytes, namespace 2 of 4096, both have a volatile write cache.
#
# usage: guest_nvme.sh CASE [SECONDS]
set -u
case_name=$1
seconds=${2-4}
device=0000:00:06.0
mnt=/tmp/mnt

fail() {
    echo "FAILED: $*" >&2
    dmesg | tail -n 20 >&2
    exit 1
}

must() {
    "$@" || fail "$* ended with status $?"
}

await() {
    tries=$(($1 * 10))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}

# holds VALUE FILE: what a file of sysfs says.
holds() {
    [ "$(cat "$2")" = "$1" ] || fail "$2 is $(cat "$2"), not $1"
}

controller() {
    ls /sys/bus/pci/devices/$device/nvme 2>/dev/null
}

# The names do not follow the identifiers.
disk() {
    grep -lx "$1" /sys/block/nvme*/nsid 2>/dev/null | cut -d / -f 4
}

disks() {
    controller=$(controller)
    first=/dev/$(disk 1)
    second=/dev/$(disk 2)
    [ -n "$controller" ] && [ -b "$first" ] && [ -b "$second" ]
}

interrupts() {
    awk '/nvme[0-9]q/ { for (i = 2; i <= 3; ++i) total += $i } END { print total + 0 }' /proc/interrupts
}

verify() {
    must fio --name=verify --filename="$1" --size=64M --rw=randrw --bsrange="$2"-512k --blockalign="$2" --direct=1 \
        --ioengine=libaio --iodepth="$3" --numjobs="$4" --offset_increment=64M --verify=crc32c --verify_fatal=1 \
        --time_based --runtime="$seconds" --output=/tmp/fio.log
}

filesystem() {
    must mkfs.ext4 -q -F "$1"
    mkdir -p $mnt
    must mount -t ext4 "$1" $mnt
    for size in 1 511 4095 4096 65537 1048576 3145729; do
        for copy in 1 2 3 4 5; do
            head -c $size /dev/urandom >$mnt/$size-$copy || fail "cannot write"
        done
    done
    (cd $mnt && sha256sum [0-9]* >/tmp/sums)
    must umount $mnt
    must mount -t ext4 "$1" $mnt
    (cd $mnt && sha256sum -c /tmp/sums >/dev/null) || fail "what was read is not what was written"
    rm $mnt/3145729-*
    must fstrim $mnt
    must umount $mnt
    must e2fsck -fn "$1"
}

await 20 disks
queue=/sys/block/${first#/dev/}/queue
holds 512 "$queue/logical_block_size"
holds 4096 "/sys/block/${second#/dev/}/queue/logical_block_size"
holds "write back" "$queue/write_cache"
[ "$(cat "$queue/max_hw_sectors_kb")" -le 512 ] || fail "commands are larger than MDTS"
holds 524288 "$queue/../size"
grep -q '^OUTBOARD0001 *$' "/sys/class/nvme/$controller/serial" || fail "the serial number is wrong"

case $case_name in
disks | shadows | line)
    if [ "$case_name" = line ]; then
        [ ! -d /sys/bus/pci/devices/$device/msi_irqs ] || fail "it has message interrupts"
    else
        [ "$(ls /sys/bus/pci/devices/$device/msi_irqs | wc -l)" -ge 3 ] || fail "there is no vector for each processor"
    fi
    before=$(interrupts)
    for depth in 1 32; do
        verify "$first" 512 $depth 2
        verify "$second" 4096 $depth 2
    done
    [ "$(interrupts)" -gt $((before + 100)) ] || fail "hardly an interrupt: from $before to $(interrupts)"
    filesystem "$first"
    filesystem "$second"

    # Deallocated blocks read as zeros.
    must dd if=/dev/urandom of="$second" bs=1M count=2 oflag=direct 2>/dev/null
    must blkdiscard -o 0 -l 1048576 "$second"
    [ "$(dd if="$second" bs=1M count=1 iflag=direct 2>/dev/null | tr -d '\0' | wc -c)" = 0 ] || fail "they are not zeros"
    [ "$(dd if="$second" bs=1M skip=1 count=1 iflag=direct 2>/dev/null | tr -d '\0' | wc -c)" != 0 ] || fail "too many zeros"
    ;;

# The driver resets the controller under load, and is taken away and given back.
resets)
    fio --name=verify --filename="$first" --size=64M --rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=16 \
        --verify=crc32c --verify_fatal=1 --time_based --runtime=10 --output=/tmp/fio.log &
    load=$!
    for _ in 1 2 3 4 5; do
        sleep 1
        echo 1 >"/sys/class/nvme/$controller/reset_controller" || fail "the controller does not come back"
    done
    wait $load || { cat /tmp/fio.log; fail "fio saw errors"; }
    for _ in 1 2 3; do
        echo $device >/sys/bus/pci/drivers/nvme/unbind
        await 10 test ! -e "$first"
        echo $device >/sys/bus/pci/drivers/nvme/bind
        await 20 disks
    done
    verify "$first" 512 8 1
    ;;

*) fail "there is no case $case_name" ;;
esac

dmesg | grep -E "nvme.*(timeout|error|[Ff]ail|Abort|invalid)|DMAR.*fault" && fail "the kernel is not content"
echo "$case_name: passed"
