#!/bin/bash
# Runs in the virtual machine of limits.sh.
set -eu
here=$(dirname "$(readlink -f "$0")")
top=$(dirname "$(dirname "$here")")
for module in cpu0 cpu1; do
    mkdir -p "/etc/systemd/system/ftvs-$module.slice.d"
    printf '[Slice]\nAllowedCPUs=%s\nMemoryMax=1G\nTasksMax=2000\n' "${module#cpu}" \
        >"/etc/systemd/system/ftvs-$module.slice.d/limits.conf"
done
FTVS_SLOW=10 "$top/deploy/quickstart" --systemd --keep --binaries "$1" --guest "$2" --directory /var/tmp/quickstart
for module in cpu0 cpu1; do
    slice=/sys/fs/cgroup/ftvs.slice/ftvs-$module.slice
    [ "$(cat "$slice/cpuset.cpus.effective")" = "${module#cpu}" ] || { echo "$module is not pinned"; exit 1; }
    [ "$(cat "$slice/memory.max")" = 1073741824 ] || { echo "$module has no memory limit"; exit 1; }
    echo "$module: processor $(cat "$slice/cpuset.cpus.effective"), memory $(cat "$slice/memory.current") of $(cat "$slice/memory.max")"
done
