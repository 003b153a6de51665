#!/bin/bash
# limits.sh BINARIES
#
# Installs FTVS in a virtual machine with every cgroup controller, pins each module's slice to a processor of its own, and
# lets one fail and return there: modules with real limits, on a real kernel of their own.
set -u
here=$(dirname "$(readlink -f "$0")")
exec env SDVM_MB=3072 "$here/with-vm.sh" - "$here/limits-inside.sh" "$1"
