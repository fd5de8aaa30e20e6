#!/bin/sh
# A Linux guest whose NVMe controller is the simulated one: QEMU is the vfio-user client, the kernel's own driver drives it,
# guest_nvme.sh looks at the disks. Needs a QEMU that has such a client (10.1), which the lab fetches.
#
# usage: simulated_nvme.sh OUTBOARD CASE [LAB_OPTION…]
set -u
outboard=$1
case_name=$2
shift 2
directory=$(mktemp -d)
socket=$directory/nvme
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$directory"' EXIT

# QEMU takes an access to the registers for the end of a line interrupt. Doorbells that the guest reaches without QEMU are not
# seen as one: then the line stays up, and the kernel switches the interrupt off.
case $case_name in
shadows) options="--shadow-doorbells on" ;;
line) options="--shadow-doorbells off --no-shared-memory" ;;
*) options="--shadow-doorbells off" ;;
esac
"$outboard" sim nvme --socket "$socket" --size 256M --namespaces 2 --block-size 512,4096 --write-cache 16M --queues 8 \
    $options --ready-time 20ms --shutdown-time 20ms \
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
    --modules nvme "$@" --script tests/lab/guest_nvme.sh -- "$case_name"
status=$?
if grep -q 'DMA fault' "$directory/log"; then
    echo "FAILED: the guest's driver had the device go where it must not:"
    status=1
fi
[ $status = 0 ] || cat "$directory/log"
exit $status
