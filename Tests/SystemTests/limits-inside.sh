#!/bin/bash
# limits-inside.sh BINARIES [GUEST]: runs in the virtual machine of limits.sh.
#
# Each module has a processor and memory of its own: nothing may depend on modules without limits. A module fails there and
# returns; with GUEST the main job is run, with a real guest, which is slow: an emulated machine in an emulated machine.
set -eu
binaries=$1 guest=${2-}
here=$(dirname "$(readlink -f "$0")")
top=$(dirname "$(dirname "$here")")
for module in cpu0 cpu1; do
    mkdir -p "/etc/systemd/system/ftvs-$module.slice.d"
    printf '[Slice]\nAllowedCPUs=%s\nMemoryMax=1G\nTasksMax=2000\n' "${module#cpu}" \
        >"/etc/systemd/system/ftvs-$module.slice.d/limits.conf"
done
mkdir -p /etc/ftvs
# An emulated host is slow, and so is what runs on it.
echo '{"heartbeatBoundMilliseconds": 5000, "unitStartBoundMilliseconds": 200000, "legAnswerBoundMilliseconds": 60000,
    "guestAnswerBoundMilliseconds": 300000}' >/etc/ftvs/host.json
for service in hardware vm storage alerts module; do
    mkdir -p "/etc/systemd/system/ftvs-$service@.service.d"
    printf '[Service]\nWatchdogSec=5\n' >"/etc/systemd/system/ftvs-$service@.service.d/slow.conf"
done

check_limits() {
    local module slice
    for module in cpu0 cpu1; do
        slice=/sys/fs/cgroup/ftvs.slice/ftvs-$module.slice
        [ "$(cat "$slice/cpuset.cpus.effective")" = "${module#cpu}" ] || { echo "$module is not pinned"; return 1; }
        [ "$(cat "$slice/memory.max")" = 1073741824 ] || { echo "$module has no memory limit"; return 1; }
        echo "$module: processor $(cat "$slice/cpuset.cpus.effective"), memory $(cat "$slice/memory.current") of $(cat "$slice/memory.max")"
    done
}
# By the clock: where an answer takes seconds, the journal is to be shown before the test as a whole is out of time.
wait_duplex() {
    local end=$((SECONDS + 150))
    while [ "$SECONDS" -lt "$end" ]; do
        timeout 20 ftctl status 2>/dev/null | grep -q 'cpu duplex, io duplex' && { echo "duplex at $SECONDS s"; return 0; }
        sleep 0.5
    done
    timeout 20 ftctl status; journalctl --no-pager -q -u 'ftvs-*' -n 60; return 1
}
fail_and_return() {
    "$top/deploy/install" --binaries "$binaries"
    wait_duplex
    ftctl module fail cpu0 --reason "limits test"
    # The answer to the one who asked comes before the end of who gave it.
    for _ in {1..60}; do ftctl service ping storage 2>&1 | grep cpu1 && break; sleep 0.5; done
    ftctl service ping storage | grep -q cpu1
    ftctl module online cpu0
    wait_duplex
    echo "cpu0 failed and returned under limits"
}
main_job() {
    FTVS_SLOW=20 "$top/deploy/quickstart" --systemd --keep --binaries "$binaries" --guest "$guest" \
        --directory /var/tmp/quickstart
}
if [ -n "$guest" ]; then main_job; else fail_and_return; fi
check_limits
"$top/deploy/install" --uninstall --purge
