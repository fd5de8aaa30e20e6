#!/bin/sh
# The lab keeps its promises: output byte for byte, exit status, files, deadline, and clear errors. Run by ctest with
# the outboard program as its argument; needs QEMU and network access (once, for the kernels), no root.
set -u
outboard=$1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1
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

# check_contains WHAT PART TEXT
check_contains() {
    case $3 in
        *"$2"*) echo "ok: $1" ;;
        *) check "$1" "…$2…" "$3" ;;
    esac
}

lab() { "$outboard" lab --timeout 120 "$@"; }

# One boot for all that one boot can show.
printf 'one\0two\377\n' >input
printf '#!/bin/sh\ncat\necho "to stderr, $1" >&2\nmkdir -p /tmp/result/inner\nsha256sum </usr/bin/outboard >/tmp/result/inner/sum\n' >script
printf 'cp /tmp/data /tmp/back; uname -r >&2; tr -d "\\000" </proc/1/comm >&2; lspci -n -s 00:06.0 >&2\nexit 42\n' >>script
echo content >data
lab --kernel 6.12 --device edu --file data --get /tmp/result --get /tmp/back:renamed --get /tmp/missing \
    --script script argument <input >output 2>errors
check 'exit status of the command' 42 $?
check 'standard output, byte for byte' "$(sha256sum <input)" "$(sha256sum <output)"
check_contains 'standard error, apart from it, and arguments of a script' 'to stderr, argument' "$(cat errors)"
check_contains 'a device at its documented place' '00:06.0 00ff: 1234:11e8' "$(cat errors)"
check 'a file copied in and out' content "$(cat renamed)"
check_contains 'a directory copied out' ' -' "$(cat result/inner/sum)"
check 'kernel 6.12' 1 "$(grep -c '^6\.12\.' errors)"
check_contains 'a file that is not there' 'the guest has no /tmp/missing' "$(cat errors)"

# With and without options before the command, and an option of the command's own; words that the shell must not take apart.
check 'a command without options of the lab' Linux "$("$outboard" lab -- 'uname -s; kill -9 $$' </dev/null 2>errors || echo $? >status)"
check 'a command that a signal ended' 137 "$(cat status)"
check 'a command without the two dashes, whose words stay apart' 'a  b|c' "$("$outboard" lab env -u HOME printf '%s|%s' 'a  b' c </dev/null)"

# An unprivileged user; a module left out; another kernel.
release=$(lab --kernel 6.1 --user --without-module vfio-pci \
    -- 'echo "$USER $(id -u) $(pwd) $(uname -r)"; test -e /sys/module/vfio_pci && echo loaded' </dev/null)
case $release in
    'user 1000 /tmp 6.1.'*loaded*) check 'a module left out' 'not loaded' "$release" ;;
    'user 1000 /tmp 6.1.'*) echo "ok: an unprivileged user on $release" ;;
    *) check 'an unprivileged user' 'user 1000 /tmp 6.1.*' "$release" ;;
esac

# A kernel that crashes while it boots is booted again, and then the crash is told.
lab --append rdinit=/missing -- true </dev/null >output 2>errors
check 'a machine that does not come up' 1 $?
check 'is booted three times' 2 "$(grep -c 'the guest did not come up (attempt [12] of 3)' errors)"
check_contains 'and the end of its console is shown' 'Kernel panic' "$(tail -n 70 errors)"

# The deadline ends it, and says so.
start=$(date +%s)
"$outboard" lab --timeout 15 -- sleep 1000 </dev/null 2>errors
check 'exit status of the deadline' 124 $?
check_contains 'what it says' 'deadline of 15 s' "$(cat errors)"
[ $(($(date +%s) - start)) -lt 30 ] || check 'the deadline is kept' 'less than 30 s' "$(($(date +%s) - start)) s"

# A lab that is killed takes its QEMU along.
"$outboard" lab --timeout 120 --keep --qemu-arg -name --qemu-arg "self-test-$$" -- sleep 1000 </dev/null 2>errors &
killed=$!
sleep 3
kill -9 $killed
wait $killed 2>errors
sleep 1
check 'no QEMU outlives its lab' '' "$(grep -ls "self-[t]est-$$" /proc/[0-9]*/cmdline)"

# A machine that dies early is an error with its reason, not a wait for the deadline.
lab --append panic_on_oops=1 -- 'echo c >/proc/sysrq-trigger; sleep 100' </dev/null 2>errors
check 'exit status of a guest that crashed' 1 $?
check_contains 'the console is shown' 'sysrq triggered crash' "$(cat errors)"
lab --device no-such-device -- true </dev/null 2>errors
check_contains 'what QEMU says is shown' "'no-such-device' is not a valid device model name" "$(cat errors)"

# Without QEMU, and with words that make no sense.
lab --qemu /nonexistent/qemu -- true </dev/null 2>errors
check 'exit status without QEMU' 3 $?
check_contains 'what to do without QEMU' 'apt-get install qemu-system-x86' "$(cat errors)"
lab --kernel 4.19 -- true </dev/null 2>errors
check 'exit status of an unknown kernel' 3 $?
check_contains 'which kernels there are' '6.12' "$(cat errors)"
lab --device nvme,size=many -- true </dev/null 2>errors
check 'exit status of a wrong word' 2 $?

[ $failures = 0 ] || echo "$failures checks failed"
[ $failures = 0 ]
