#!/bin/bash
# limits.sh BINARIES [GUEST]
#
# Modules with real limits: FTVS in a virtual machine with every cgroup controller and a kernel of its own, each module's
# slice pinned to a processor. A module fails and returns there; with GUEST, a directory that deploy/guest/build filled,
# the main job is run, which takes more than half an hour without KVM.
set -u
here=$(dirname "$(readlink -f "$0")")
exec env SDVM_MB=4096 "$here/with-vm.sh" - "$here/limits-inside.sh" "$1" ${2+"$2"}
