#!/bin/sh
# The kernel's virtio-blk driver and what stands on it, with the simulated disk at 0000:00:06.0.
set -u
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

# holds VALUE FILE: what a file of sysfs says.
holds() {
    [ "$(cat "$2")" = "$1" ] || fail "$2 is $(cat "$2"), not $1"
}

find_disk() {
    name=$(ls /sys/bus/pci/devices/$device/virtio*/block 2>/dev/null)
    disk=/dev/$name
    [ -n "$name" ] && [ -b "$disk" ]
}

await_disk() {
    tries=200
    until find_disk; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "the kernel shows no disk"
        sleep 0.1
    done
}

verify() {
    must fio --name=verify --filename="$disk" --size=64M --rw=randrw --bsrange=512-512k --blockalign=512 --direct=1 \
        --ioengine=libaio --iodepth="$1" --numjobs=2 --offset_increment=64M --verify=crc32c --verify_fatal=1 \
        --time_based --runtime=4 --output=/tmp/fio.log
}

await_disk
holds 524288 "/sys/block/$name/size"
holds "write back" "/sys/block/$name/queue/write_cache"
holds OUTBOARD0001 "/sys/block/$name/serial"
# Feature bit 34: packed rings; bit 29: event indexes.
features=$(cat /sys/bus/pci/devices/$device/virtio*/features)
[ "$(echo "$features" | cut -c 30,35)" = 11 ] || fail "the features are $features"

verify 1
verify 32
must mkfs.ext4 -q -F "$disk"
mkdir -p $mnt
must mount -t ext4 "$disk" $mnt
for size in 1 511 4095 4096 65537 1048576 3145729; do
    head -c $size /dev/urandom >$mnt/$size || fail "cannot write"
done
(cd $mnt && sha256sum [0-9]* >/tmp/sums)
must umount $mnt
# The driver lets go of the disk and takes it again.
echo $device >/sys/bus/pci/drivers/virtio-pci/unbind
echo $device >/sys/bus/pci/drivers/virtio-pci/bind
await_disk
must mount -t ext4 "$disk" $mnt
(cd $mnt && sha256sum -c /tmp/sums >/dev/null) || fail "what was read is not what was written"
rm $mnt/3145729
must fstrim $mnt
must umount $mnt
must e2fsck -fn "$disk"
must dd if=/dev/urandom of="$disk" bs=1M count=2 oflag=direct 2>/dev/null
must blkdiscard -o 0 -l 1048576 "$disk"
[ "$(dd if="$disk" bs=1M count=1 iflag=direct 2>/dev/null | tr -d '\0' | wc -c)" = 0 ] || fail "they are not zeros"
[ "$(dd if="$disk" bs=1M skip=1 count=1 iflag=direct 2>/dev/null | tr -d '\0' | wc -c)" != 0 ] || fail "too many zeros"
dmesg | grep -E "virtio.*(error|[Ff]ail)|I/O error|DMAR.*fault" && fail "the kernel is not content"
echo "passed"
