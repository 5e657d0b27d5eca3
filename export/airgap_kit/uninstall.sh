#!/bin/sh
# Removes xraygpt-edge from the folder that this file is in, and what it keeps to start faster.
#
#   sh uninstall.sh             models stay, for a later installation
#   sh uninstall.sh models      models go as well
#
# Files that somebody else has put into the folder stay. Ends with 0, or with one line and: 2 this is no installation,
# 16 it could not be removed.
set -eu
target=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
data=${XDG_DATA_HOME:-$HOME/.local/share}/xraygpt-edge
cache=${XDG_CACHE_HOME:-$HOME/.cache}/xraygpt-edge
if [ "$(uname)" = Darwin ]; then
    data="$HOME/Library/Application Support/xraygpt-edge"
    cache=$HOME/Library/Caches/xraygpt-edge
fi

stop() {
    code=$1
    shift
    printf 'Not removed: %s\n' "$*" >&2
    exit "$code"
}

remove() { rm -rf "$@" || stop 16 "the reason is above. What is left can be removed by the same command."; }

[ -e "$target/.installation" ] || stop 2 "nothing is installed in $target."
remove "$target/bin/xraygpt-edge"  # first: half a program must not answer
if [ -e "$target/pyvenv.cfg" ]; then remove "$target/bin" "$target/lib" "$target/lib64" "$target/include"; fi  # of 0.1.0
remove "$target/versions" "$target/bin/previous" "$target/pyvenv.cfg" "$target/example.dcm" "$target/signer"
rmdir "$target/bin" 2>/dev/null || :
remove "$target/.installing" "$target/undo.sh" "$target/uninstall.sh" "$target/.installation"
rmdir "$target" 2>/dev/null || printf 'Files of yours stay in %s.\n' "$target"
remove "$cache/cpu.json" "$cache/starts" "$cache/running"
rmdir "$cache" 2>/dev/null || :
if [ "${1:-}" = models ]; then
    remove "$data"
elif [ -d "$data/bundles" ]; then
    printf 'The models stay in %s. Delete that folder if nobody needs them.\n' "$data/bundles"
fi
printf 'xraygpt-edge is removed.\n'
