#!/bin/sh
# Simulated devices as a user meets them: the README's first driver and the example device, `outboard sim` with its messages,
# exit statuses and signals. Run by ctest, as any user, with the directory of the programs as its argument.
set -u
bin=$1
directory=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$directory"' EXIT
failures=0

# check WHAT EXPECTED ACTUAL
check() {
    if [ "$2" = "$3" ]; then
        echo "ok: $1"
    else
        printf 'FAILED: %s\n  expected: %s\n  actual:   %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
    fi
}

# serve COMMAND…: starts a server and waits for the line that says it is ready, which is then in $ready.
serve() {
    : >"$directory/ready"
    "$@" >"$directory/ready" 2>"$directory/log" &
    server=$!
    for _ in $(seq 100); do
        [ -s "$directory/ready" ] && break
        sleep 0.05
    done
    ready=$(cat "$directory/ready")
}

# stop SIGNAL: ends it; its exit status is then in $status.
stop() {
    kill -s "$1" "$server"
    wait "$server"
    status=$?
    server=
}

socket=$directory/edu
serve "$bin/outboard" sim edu --socket "$socket"
check 'the line of a server that is ready' "vfio-user:$socket  edu (1234:11e8)" "$ready"
check "the README's first driver" '10! = 3628800' "$("$bin/edu_hello" "vfio-user:$socket" 2>&1)"
check 'a second run of it' '10! = 3628800' "$("$bin/edu_hello" "vfio-user:$socket" 2>&1)"
check 'outboard list of one device' "vfio-user:$socket 1234 11e8 None edu" \
    "$("$bin/outboard" list "vfio-user:$socket" --json | python3 -c '
import json, sys
(d,) = json.load(sys.stdin)["devices"]
print(d["address"], d["vendor_id"], d["device_id"], d["driver"], d["outboard_driver"])')"
check 'outboard doctor of it' 'server outboard-driver True' "$("$bin/outboard" doctor "vfio-user:$socket" --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(*(c["name"] for c in d["checks"] if c["result"] == "ok" and c["name"] in ("server", "outboard-driver")), d["healthy"])')"
output=$("$bin/outboard" bench "vfio-user:$socket" 2>&1)
check 'exit status of a benchmark of what is no disk' 3 $?
check 'and its message' "outboard: cannot use disk 0 of vfio-user:$socket: no disk answers on it" \
    "$(printf '%s\n' "$output" | grep '^outboard:')"
output=$("$bin/outboard" list "vfio-user:$socket-not" 2>&1)
check 'exit status when nobody serves' 3 $?
output=$("$bin/outboard" doctor "vfio-user:$socket-not" 2>&1)
check 'exit status of doctor when nobody serves' 1 $?
check 'permissions of the socket' srw------- "$(stat -c %A "$socket")"
output=$("$bin/outboard" sim edu --socket "$socket" 2>&1)
check 'exit status when another server listens there' 4 $?
check 'and its message' "outboard: cannot listen on $socket: another server listens there; choose another path" "$output"
kill -KILL "$server"
wait "$server" 2>/dev/null
check 'a killed server leaves its socket' yes "$([ -S "$socket" ] && echo yes)"

serve "$bin/outboard" sim edu --socket "$socket" --json --quiet --dma-time 1ms
check 'which the next one replaces; its JSON' "vfio-user:$socket edu 1234:11e8 $server" \
    "$(printf '%s' "$ready" | python3 -c 'import json, sys; d = json.load(sys.stdin); print(d["device"], d["model"], d["pci_id"], d["pid"])')"
stop TERM
check 'exit status after SIGTERM' 0 $status
check 'a server that ends takes its socket along' no "$([ -e "$socket" ] || echo no)"
serve "$bin/outboard" sim edu --socket "$socket"
stop HUP
check 'exit status after SIGHUP' 0 $status

output=$(timeout 10 "$bin/outboard" sim edu --socket "$socket" --dma-time soon 2>&1)
check 'exit status of a wrong option' 2 $?
check 'and its message' 'outboard: cannot use --dma-time soon: it is not a time, such as 10us, 100ms or 2s' "$output"
output=$(timeout 10 "$bin/outboard" sim nvme --socket "$socket" --namespaces 2 --block-size 512,big 2>&1)
check 'exit status of a wrong block size' 2 $?
check 'and its message' 'outboard: cannot use --block-size big: it is not a number, such as 4096 or 0x1000' "$output"
output=$(timeout 10 "$bin/outboard" sim nvme --socket "$socket" --block-size 512,4096 2>&1)
check 'exit status of more block sizes than namespaces' 2 $?
check 'and its message' \
    'outboard: cannot use --block-size 512,4096: it has 2 parts, which is more than there are to have one' "$output"
timeout 10 "$bin/outboard" sim teapot --socket "$socket" 2>/dev/null
check 'exit status of an unknown model' 2 $?

serve "$bin/outboard" sim nvme --socket "$socket" --size 16M --namespaces 2 --block-size 512,4096
check 'a simulated NVMe controller' "vfio-user:$socket  nvme (1234:4e56)" "$ready"
# sound: figures of a benchmark that moved data, with percentiles in order.
sound='
import json, sys
d = json.load(sys.stdin)
t = d["latency_us"]
print(d["iops"] > 0 and d["mib_s"] > 0 and 0 < t["p50"] <= t["p99"] <= t["p999"] and d["cpu_ns_per_request"] > 0, d["errors"])'
for mode in adaptive interrupt poll; do
    check "a benchmark with --completion $mode" 'True 0' \
        "$("$bin/outboard" bench "vfio-user:$socket" --io-size 4096 --depth 32 --rw randread --time 0.1 --threads 1 --cpu 0 \
            --completion $mode --json | python3 -c "$sound")"
done
check 'the health of a disk' '[] 40 100 True 0' "$("$bin/outboard" health "vfio-user:$socket" --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(d["warnings"], d["temperature_celsius"], d["spare_percent"], d["read_commands"] > 0, d["media_errors"])')"
check 'a benchmark of three threads that writes and verifies' 'True 0' \
    "$("$bin/outboard" bench "vfio-user:$socket" --io-size 8k --depth 4 --rw randrw --time 0.1 --threads 3 --verify --json |
        python3 -c "$sound")"
check 'a benchmark with a rate has its rate and its histogram' '10 100' \
    "$("$bin/outboard" bench "vfio-user:$socket" --rate 500 --time 0.2 --histogram --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(round(d["iops"] / 50), round(sum(b["count"] for b in d["histogram"]), -1))')"
output=$("$bin/outboard" bench "vfio-user:$socket" --cpu 4000 --time 0.1 2>&1)
check 'exit status of a benchmark on a processor that is not there' 1 $?
check 'and its message' 'outboard: cannot run on processor 4000: Invalid argument (EINVAL); choose one that this machine has and this process may use' \
    "$output"
output=$("$bin/outboard" bench "vfio-user:$socket" --threads 100 --time 0.1 2>&1)
check 'exit status of a benchmark with more threads than queues' 4 $?
stop TERM
check 'which ends by a signal' 0 $status

head -c 9437696 /dev/urandom >"$directory/image"
serve "$bin/outboard" sim nvme --socket "$socket" --size 9437696 --file "$directory/image" --quiet
"$bin/copy_disk" "vfio-user:$socket" "$directory/copy"
check 'exit status of the example that copies a disk' 0 $?
check 'and its copy' 0 "$(cmp "$directory/image" "$directory/copy" 2>&1; echo $?)"
output=$("$bin/copy_disk" "vfio-user:$socket" /dev/full 2>&1)
check 'its exit status when the file cannot be written' 1 $?
check 'and its message' 'copy_disk: cannot write the file: No space left on device (ENOSPC)' "$output"
stop TERM

serve "$bin/outboard" sim virtio-blk --socket "$socket" --size 16M --packed on --queue-size 8
check 'a simulated virtio disk' "vfio-user:$socket  virtio-blk (1af4:1042)" "$ready"
check 'and its driver' virtio-blk "$("$bin/outboard" list "vfio-user:$socket" --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["devices"][0]["outboard_driver"])')"
stop TERM
output=$(timeout 10 "$bin/outboard" sim virtio-blk --socket "$socket" --queue-size 100 2>&1)
check 'exit status of a queue size that cannot be' 2 $?
check 'and its message' 'outboard: cannot simulate a virtio-blk device: a queue'"'"'s size is a power of two from 2 to 1024; choose another value' "$output"

serve "$bin/outboard" sim ide --socket "$socket" --size 16M --quiet
output=$("$bin/outboard" health "vfio-user:$socket" 2>&1)
check 'exit status of the health of a disk that does not tell' 6 $?
check 'and its message' "outboard: cannot read the health of vfio-user:$socket: it does not tell, or its driver cannot ask" "$output"
output=$("$bin/outboard" faults --device "vfio-user:$socket" 2>&1)
check 'exit status of a campaign that would overwrite a disk' 2 $?
check 'and its message' "outboard: cannot run a fault campaign on vfio-user:$socket: it would overwrite what is on the disk; add --destroy-data if that is what you want" "$output"
output=$("$bin/outboard" faults --device "vfio-user:$socket" --destroy-data --count 50 --seed 7 --json)
check 'exit status of a campaign on a device that another process serves' 0 $?
check 'and what it counts' "vfio-user:$socket 50 0 0 0" \
    "$(printf '%s' "$output" | python3 -c 'import json, sys; d = json.load(sys.stdin); print(d["device"], d["faults"], d["mismatches"], d["hangs"], d["crashes"])')"
stop TERM
output=$("$bin/outboard" faults --device 0000:00:04.0 2>&1)
check 'exit status of a campaign on hardware' 2 $?
check 'and its message' 'outboard: cannot run a fault campaign on 0000:00:04.0: faults can be brought about in simulated disks only; choose one of ide, nvme, ahci, virtio-blk, vfio-user:PATH' "$output"

serve "$bin/sum_device" "$socket"
check 'the example driver on the example device' $((0x61 + 0x62 + 0x63)) "$("$bin/sum_driver" "vfio-user:$socket" abc 2>&1)"
check 'and again' 0 "$("$bin/sum_driver" "vfio-user:$socket" '' 2>&1)"
stop TERM
check 'the example device ends by a signal' 0 $status

exit $((failures != 0))
