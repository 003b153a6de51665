#!/bin/bash
# units.sh: the unit files as systemd judges them; run inside the sandboxed systemd with FTVS installed.
set -u
failed=0
check() { # NAME COMMAND...
    local name=$1 output; shift
    if output=$("$@" 2>&1); then echo "ok - $name${output:+ ($output)}"; else echo "not ok - $name"; sed 's/^/    /' <<<"$output"; failed=1; fi
}
verify_is_silent() {
    local said
    said=$(cd /etc/systemd/system && systemd-analyze verify ftvs.target ftvs-*.socket ftvs-*.slice \
        ftvs-{hardware,vm,storage,alerts}.service ftvs-{hardware,vm,storage,alerts,module}@cpu0.service \
        ftvs-guest-cpu0@0.service ftvs-guest-cpu1@0.service 2>&1 | grep ftvs)
    [ -z "$said" ] || { echo "$said"; return 1; }
}
exposure_at_most() { # LIMIT UNIT
    local figure
    figure=$(systemd-analyze security --no-pager "$2" 2>&1 | sed -n 's/.*Overall exposure level[^:]*: \([0-9.]*\).*/\1/p')
    echo "exposure ${figure:-unknown}"
    [ -n "$figure" ] && awk -v f="$figure" -v l="$1" 'BEGIN { exit !(f <= l) }'
}
check "systemd-analyze verify says nothing about our units" verify_is_silent
for service in hardware vm storage alerts module; do
    check "ftvs-$service@cpu0.service is exposed by at most 2.5" exposure_at_most 2.5 "ftvs-$service@cpu0.service"
done
for service in hardware vm storage alerts; do
    check "ftvs-$service.service is exposed by at most 2.5" exposure_at_most 2.5 "ftvs-$service.service"
done
exit "$failed"
