#!/bin/sh
# A Linux guest whose IDE controller is the simulated one: QEMU is the vfio-user client, and the guest's kernel takes it for a
# CMD646. Its own driver (pata_cmd64x) and ours use the same four disks in turn. Run by ctest with the outboard program as its
# argument; needs a QEMU that has such a client (10.1), which the lab fetches.
set -u
outboard=$1
directory=$(mktemp -d)
socket=$directory/ide
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$directory"' EXIT

"$outboard" sim ide --socket "$socket" --disks 4 --size 1G,200G,1G >"$directory/ready" 2>"$directory/log" &
server=$!
for _ in $(seq 100); do
    [ -s "$directory/ready" ] && break
    sleep 0.1
done

# The guest's memory is a file that the simulator maps. The rest of the suite runs on the simulated controller without a guest.
"$outboard" lab --timeout 900 --qemu trixie-backports \
    --qemu-arg -object --qemu-arg memory-backend-memfd,id=shared,size=1G,share=on \
    --qemu-arg -machine --qemu-arg memory-backend=shared \
    --qemu-arg -device \
    --qemu-arg "{\"driver\":\"vfio-user-pci\",\"addr\":\"4\",\"socket\":{\"type\":\"unix\",\"path\":\"$socket\"}}" \
    -- guest_ide --gtest_brief=1 '--gtest_filter=BesideTheKernel.*:GuestIde.*:*Verifies*/1'
status=$?
if grep -v 'client' "$directory/log"; then
    echo "FAILED: the simulator saw what must not happen"
    status=1
fi
exit $status
