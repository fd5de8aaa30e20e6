"""The disks that the lab's comparisons know, and where the lab puts the controller of the first of each."""
DEVICES = {"ide": "0000:00:04.0", "ahci": "0000:00:05.0", "nvme": "0000:01:00.0", "virtio-blk": "0000:01:00.0"}
