#!/bin/sh
# The verbs list, bind, unbind and doctor as a user meets them: output, messages, exit statuses. Runs as root in a guest of
# `outboard lab --device ide --device nvme`.
set -u
failures=0

# expect STATUS TEXT COMMAND…: the command must end with that status and print a line that holds the text.
expect() {
    status=$1
    text=$2
    shift 2
    output=$("$@" 2>&1)
    found=$?
    if [ "$found" != "$status" ]; then
        echo "FAILED: $*: status $found instead of $status: $output"
        failures=$((failures + 1))
    elif ! printf '%s\n' "$output" | grep -qF -- "$text"; then
        echo "FAILED: $*: no '$text' in: $output"
        failures=$((failures + 1))
    fi
}

as_user() { su user -c "$*"; }

ide=0000:00:04.0

expect 0 '0000:00:04.0  IDE interface' outboard list
expect 0 '0000:00:00.0  Host bridge' outboard list --all
expect 0 '"outboard_driver": "ide"' outboard list --json
expect 0 "at work: " outboard doctor $ide
expect 0 '"healthy": true' outboard doctor $ide --json
expect 0 'bound to ata_piix' outboard doctor $ide
expect 1 'this machine has no device at that address' outboard doctor 0000:00:19.0

expect 2 'is not a PCI address in full, such as 0000:00:04.0' outboard bind 00:04.0
expect 2 'is not a PCI address in full, such as 0000:00:04.0' outboard unbind ide
expect 2 'DEVICE is required' outboard bind
expect 3 'this machine has no device at that address' outboard bind 0000:00:19.0
expect 5 'run it as root' as_user outboard bind $ide
expect 6 'it is a PCI bridge' outboard bind 0000:00:10.0

mke2fs -q -F /dev/sda 8M && mount -t ext4 /dev/sda /mnt || failures=1
expect 4 'it is in use: /dev/sda is mounted at /mnt' outboard bind $ide
expect 0 '/dev/sda is mounted at /mnt' outboard list
expect 1 '/dev/sda is mounted at /mnt' outboard doctor $ide
umount /mnt

expect 0 'goes from ata_piix to vfio-pci' outboard bind $ide
expect 0 'stays with vfio-pci' outboard bind $ide
expect 0 'rights' outboard doctor $ide
expect 1 'cannot be opened by this user' as_user outboard doctor $ide
expect 0 '"driver": "ata_piix"' outboard unbind --json $ide
expect 0 'stays with ata_piix' outboard unbind $ide

[ $failures = 0 ] && echo "all as expected"
exit $((failures != 0))
