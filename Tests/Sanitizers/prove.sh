#!/bin/bash
# prove.sh thread|address DIRECTORY
#
# Shows, before a run is believed, that the sanitizer reports what is wrong and nothing else. Leaves in the directory what
# has to be preloaded for the thread sanitizer. The options are those of the run.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
sanitizer=$1 directory=$2
mkdir -p "$directory"
swift=(swiftc -swift-version 6 -parse-as-library -warnings-as-errors -sanitize="$sanitizer")
# The linker warns of about 150 symbols of the address sanitizer that nothing uses.
quietly() { "$@" 2>&1 | { grep -v 'Cannot export local symbol' || true; }; }

# expect silence|report PROGRAM CASE
expect() {
    local found=silence
    "$2" "$3" >"$directory/output" 2>&1 || found=report
    [ "$found" = silence ] || grep -q '^SUMMARY: [A-Za-z]*Sanitizer' "$directory/output" || found="a failure of another kind"
    [ "$found" = "$1" ] && return
    cat "$directory/output"
    echo "The $sanitizer sanitizer answers '$3' with $found instead of $1." >&2
    exit 1
}

case "$sanitizer" in
thread)
    toolchain=$(swiftc -print-target-info | jq -r .paths.runtimeResourcePath)
    "$toolchain/../../bin/clang" -O1 -fPIC -shared -Wall -Wextra -Werror \
        -o "$directory/SeenByThreadSanitizer.so" "$here/SeenByThreadSanitizer.c"
    quietly "${swift[@]}" -o "$directory/races" "$here/Races.swift"
    export LD_PRELOAD=$directory/SeenByThreadSanitizer.so
    expect silence "$directory/races" mutex
    expect silence "$directory/races" continuation
    expect report "$directory/races" nothing
    ;;
address)
    quietly "${swift[@]}" -o "$directory/memory" "$here/Memory.swift"
    expect silence "$directory/memory" held
    expect report "$directory/memory" freed
    expect report "$directory/memory" beyond
    ;;
esac
