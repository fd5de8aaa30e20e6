#!/bin/sh
# A Linux guest whose virtio disk is the simulated one: QEMU is the vfio-user client, the kernel's own driver drives it,
# guest_simulated_virtio_blk.sh looks at the disk. Needs a QEMU that has such a client (10.1), which the lab fetches.
#
# usage: simulated_virtio_blk.sh OUTBOARD [LAB_OPTION…]
set -u
outboard=$1
shift
directory=$(mktemp -d)
socket=$directory/virtio
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$directory"' EXIT

"$outboard" sim virtio-blk --socket "$socket" --size 256M --write-cache 16M --packed on \
    >"$directory/ready" 2>"$directory/log" &
server=$!
for _ in $(seq 100); do
    [ -s "$directory/ready" ] && break
    sleep 0.1
done

"$outboard" lab --timeout 500 --qemu trixie-backports \
    --qemu-arg -object --qemu-arg memory-backend-memfd,id=shared,size=1G,share=on \
    --qemu-arg -machine --qemu-arg memory-backend=shared \
    --qemu-arg -device \
    --qemu-arg "{\"driver\":\"vfio-user-pci\",\"addr\":\"6\",\"socket\":{\"type\":\"unix\",\"path\":\"$socket\"}}" \
    "$@" --script tests/lab/guest_simulated_virtio_blk.sh
status=$?
if grep -q 'DMA fault' "$directory/log"; then
    echo "FAILED: the guest's driver had the device go where it must not:"
    status=1
fi
[ $status = 0 ] || cat "$directory/log"
exit $status
