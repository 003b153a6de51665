#!/bin/bash
# unflushed.sh: a client that outlives the storage service goes on writing as if nothing had been; what was acknowledged to it and
# not flushed must be there. Run inside the sandboxed systemd with FTVS installed.
set -u
failed=0
work=$(mktemp -d /var/tmp/ftvs-unflushed.XXXXXX)
trap 'rm -rf "$work"' EXIT

# active: the module whose instance of storage serves
active() { ftctl status | awk '$1 == "storage" { print $2 == "active" ? "cpu0" : "cpu1" }'; }

# qemu-img writes all over the volume and flushes once, at the end; then it compares. It connects again by itself.
dd if=/dev/urandom of="$work/disk.raw" bs=1M count=300 status=none
for round in 1 2 3; do
    ftctl volume import "disk$round" "$work/disk.raw" >"$work/import.log" 2>&1 & import=$!
    until ftctl volume list -o json 2>/dev/null | jq -e ".volumes[] | select(.volume == \"disk$round\" and .sessions > 0)" >/dev/null; do
        kill -0 "$import" 2>/dev/null || break
    done
    module=$(active)
    ftctl module fail "$module" >/dev/null || failed=1
    if wait "$import"; then echo "ok - import $round went on when $module, on which storage was, was lost"
    else echo "not ok - import $round:"; sed 's/^/    /' "$work/import.log"; failed=1; fi
    ftctl module online "$module" >/dev/null || failed=1
    ftctl volume check "disk$round" >"$work/check.log" || { echo "not ok - the volume is damaged:"; cat "$work/check.log"; failed=1; }
done
entered=$(journalctl --no-pager -q 2>/dev/null | grep -c 'what was not flushed')
echo "what was not flushed was entered by $entered instances"
exit "$failed"
