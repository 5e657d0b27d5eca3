#!/bin/sh
# Gives the program back that was installed before the last kit; once more, and the newer one answers again.
# Models stay as they are.   sh undo.sh
set -eu
target=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bin=$target/bin

[ -e "$bin/previous" ] || {
    printf 'Nothing is undone: no program was installed in %s before this one.\n' "$target" >&2
    exit 2
}
rm -f "$bin/next" "$bin/back"
cp -pPR "$bin/xraygpt-edge" "$bin/back"
cp -pPR "$bin/previous" "$bin/next"
mv -f "$bin/next" "$bin/xraygpt-edge"  # the moment from which the other one answers
mv -f "$bin/back" "$bin/previous"
printf 'Now this program answers: '
"$bin/xraygpt-edge" --version | head -n 1
