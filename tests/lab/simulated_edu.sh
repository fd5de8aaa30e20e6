#!/bin/sh
# A Linux guest whose edu device is the simulated one: QEMU is the vfio-user client, the guest's kernel and the driver's suite
# take it for hardware. Run by ctest with the outboard program as its argument; needs a QEMU that has such a client (10.1),
# which the lab fetches.
set -u
outboard=$1
directory=$(mktemp -d)
socket=$directory/edu
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$directory"' EXIT

"$outboard" sim edu --socket "$socket" >"$directory/ready" 2>"$directory/log" &
server=$!
for _ in $(seq 100); do
    [ -s "$directory/ready" ] && break
    sleep 0.1
done

# The guest's memory is a file that the simulator maps. Each interrupt goes through three programs, so there are fewer. Faults are reported by the simulator, not by the guest's IOMMU.
"$outboard" lab --timeout 500 --qemu trixie-backports \
    --qemu-arg -object --qemu-arg memory-backend-memfd,id=shared,size=1G,share=on \
    --qemu-arg -machine --qemu-arg memory-backend=shared \
    --qemu-arg -device \
    --qemu-arg "{\"driver\":\"vfio-user-pci\",\"addr\":\"6\",\"socket\":{\"type\":\"unix\",\"path\":\"$socket\"}}" \
    -- env GUEST_EDU_INTERRUPTS=5000 guest_edu --gtest_brief=1 --gtest_filter=-*EduFaultReports*
status=$?
# Of the many writes that the driver's death ends it reports the first.
if ! grep -q 'DMA fault 1: write of .* bus mastering is off' "$directory/log" ||
    ! grep -q 'DMA fault 1: read of 512 bytes .* not mapped' "$directory/log"; then
    echo "FAILED: the simulator did not report the DMA faults:"
    cat "$directory/log"
    status=1
fi
exit $status
