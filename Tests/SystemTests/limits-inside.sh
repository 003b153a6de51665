#!/bin/bash
# Runs in the virtual machine of limits.sh: services and modules only, because a guest in an emulated machine in an
# emulated machine is too slow to answer in time.
set -eu
here=$(dirname "$(readlink -f "$0")")
top=$(dirname "$(dirname "$here")")
for module in cpu0 cpu1; do
    mkdir -p "/etc/systemd/system/ftvs-$module.slice.d"
    printf '[Slice]\nAllowedCPUs=%s\nMemoryMax=1G\nTasksMax=2000\n' "${module#cpu}" \
        >"/etc/systemd/system/ftvs-$module.slice.d/limits.conf"
done
mkdir -p /etc/ftvs
# Everything takes ten times as long here.
echo '{"heartbeatBoundMilliseconds": 2000}' >/etc/ftvs/host.json
"$top/deploy/install" --binaries "$1"
wait_duplex() {
    for _ in {1..120}; do
        ftctl status 2>/dev/null | grep -q 'cpu duplex, io duplex' && return 0
        sleep 0.5
    done
    ftctl status; journalctl --no-pager -q -u 'ftvs-*' -n 60; return 1
}
wait_duplex
for module in cpu0 cpu1; do
    slice=/sys/fs/cgroup/ftvs.slice/ftvs-$module.slice
    [ "$(cat "$slice/cpuset.cpus.effective")" = "${module#cpu}" ] || { echo "$module is not pinned"; exit 1; }
    [ "$(cat "$slice/memory.max")" = 1073741824 ] || { echo "$module has no memory limit"; exit 1; }
    echo "$module: processor $(cat "$slice/cpuset.cpus.effective"), memory $(cat "$slice/memory.current") of $(cat "$slice/memory.max")"
done
ftctl module fail cpu0 --reason "limits test"
ftctl service ping storage | grep cpu1
ftctl module online cpu0
wait_duplex
echo "cpu0 failed and returned under limits"
