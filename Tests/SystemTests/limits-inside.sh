#!/bin/bash
# limits-inside.sh BINARIES GUEST: runs in the virtual machine of limits.sh.
#
# Each module has a processor and memory of its own; the main job is then run on them, with a real guest. An emulated
# guest in an emulated machine is slow: what is shown here is that nothing depends on modules without limits.
set -eu
binaries=$1 guest=$2
here=$(dirname "$(readlink -f "$0")")
top=$(dirname "$(dirname "$here")")
for module in cpu0 cpu1; do
    mkdir -p "/etc/systemd/system/ftvs-$module.slice.d"
    printf '[Slice]\nAllowedCPUs=%s\nMemoryMax=1G\nTasksMax=2000\n' "${module#cpu}" \
        >"/etc/systemd/system/ftvs-$module.slice.d/limits.conf"
done
mkdir -p /etc/ftvs
echo '{"heartbeatBoundMilliseconds": 5000, "guestAnswerBoundMilliseconds": 300000}' >/etc/ftvs/host.json

check_limits() {
    local module slice
    for module in cpu0 cpu1; do
        slice=/sys/fs/cgroup/ftvs.slice/ftvs-$module.slice
        [ "$(cat "$slice/cpuset.cpus.effective")" = "${module#cpu}" ] || { echo "$module is not pinned"; return 1; }
        [ "$(cat "$slice/memory.max")" = 1073741824 ] || { echo "$module has no memory limit"; return 1; }
        echo "$module: processor $(cat "$slice/cpuset.cpus.effective"), memory $(cat "$slice/memory.current") of $(cat "$slice/memory.max")"
    done
}
FTVS_SLOW=20 "$top/deploy/quickstart" --systemd --keep --binaries "$binaries" --guest "$guest" --directory /var/tmp/quickstart
check_limits
"$top/deploy/install" --uninstall --purge
