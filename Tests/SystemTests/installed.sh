#!/bin/bash
# installed.sh BINARIES COMMAND [ARGUMENT...]
#
# Runs COMMAND on a host on which FTVS is installed and started; inside a sandboxed systemd. Shows the journal when
# COMMAND fails.
set -u
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
binaries=$1; shift
"$top/deploy/install" --binaries "$binaries" || exit 1
status=0
"$@" || status=$?
if [ "$status" != 0 ]; then
    systemctl --no-pager --all list-units 'ftvs*' >&2
    journalctl --no-pager -q -o short-precise -u 'ftvs-*' -n "${FTVS_JOURNAL_LINES:-150}" >&2
fi
exit "$status"
