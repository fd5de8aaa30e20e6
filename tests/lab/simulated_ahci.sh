#!/bin/sh
# A Linux guest whose AHCI controller is the simulated one: QEMU is the vfio-user client. The kernel's own driver and ours use
# the same three disks in turn. Run by ctest with the outboard program as its argument; needs a QEMU that has such a client
# (10.1), which the lab fetches.
set -u
outboard=$1
directory=$(mktemp -d)
socket=$directory/ahci
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$directory"' EXIT

"$outboard" sim ahci --socket "$socket" --disks 3 --size 1G,200G,1G >"$directory/ready" 2>"$directory/log" &
server=$!
for _ in $(seq 100); do
    [ -s "$directory/ready" ] && break
    sleep 0.1
done

# The guest's memory is a file that the simulator maps. The rest of the suite runs on the simulated HBA without a guest.
"$outboard" lab --timeout 900 --qemu trixie-backports \
    --qemu-arg -object --qemu-arg memory-backend-memfd,id=shared,size=1G,share=on \
    --qemu-arg -machine --qemu-arg memory-backend=shared \
    --qemu-arg -device \
    --qemu-arg "{\"driver\":\"vfio-user-pci\",\"addr\":\"5\",\"socket\":{\"type\":\"unix\",\"path\":\"$socket\"}}" \
    -- guest_ahci --gtest_brief=1 '--gtest_filter=BesideTheKernel.*:AhciSuite.*:DiskSuite.VerifiesMixedSizes'
status=$?
if grep -v 'client' "$directory/log"; then
    echo "FAILED: the simulator saw what must not happen"
    status=1
fi
exit $status
