#!/bin/bash
# limits.sh BINARIES GUEST
#
# The main job in a virtual machine with every cgroup controller, each module's slice pinned to a processor of its own:
# modules with real limits, on a real kernel of their own.
set -u
here=$(dirname "$(readlink -f "$0")")
exec env SDVM_MB=4096 "$here/with-vm.sh" - "$here/limits-inside.sh" "$1" "$2"
