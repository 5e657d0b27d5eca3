#!/bin/sh
# Installs xraygpt-edge from this folder: no network, no compiler, no administrator.
#
#   sh install.sh [FOLDER]                    FOLDER: where the program goes; ~/xraygpt-edge without it
#   SIGNER=SHA256:... sh install.sh           takes the kit only if that key has signed it
#   PYTHON=/path/to/python sh install.sh      takes that Python
#
# What is installed in FOLDER already goes on working until the new program has been tried, and can be had back:
# sh FOLDER/undo.sh
#
# Ends with 0, or with one line and: 2 the folder is something else's, 11 another installer is at work, 12 the kit is
# damaged or not signed as it must be, 14 this computer does not fit, 16 it could not be written.
set -eu
unset PYTHONPATH PYTHONHOME  # another program's packages are not ours

began=$(date +%s)
target= number= brought= lock= fresh=no done=no

say() { printf '[%3d s] %s\n' "$(($(date +%s) - began))" "$*"; }

stop() {
    code=$1
    shift
    printf 'Not installed: %s\n' "$*" >&2
    exit "$code"
}

last_line() { printf '%s\n' "$1" | grep . | tail -n 1; }

clean_up() {  # what was begun and not finished goes away again
    code=$?
    [ -z "$lock" ] || rm -f "$lock"
    [ "$done" = no ] || exit "$code"
    if [ -n "$number" ]; then
        rm -rf "$target/versions/$number"
        rmdir "$target/versions" 2>/dev/null && rm -f "$target/.installation"
        [ -e "$target/bin/xraygpt-edge" ] || rm -rf "$target/bin" "$target/example.dcm" "$target/undo.sh" \
            "$target/uninstall.sh" "$target/signer"
    fi
    [ -z "$brought" ] || rm -rf "$brought"
    [ "$fresh" = no ] || rm -rf "$folder"
    exit "$code"
}

check_files() {  # before anything in them is used
    sums="sha256sum"
    command -v sha256sum >/dev/null || sums="shasum -a 256"
    report=$(cd "$kit" && LC_ALL=C $sums --strict -c SHA256SUMS 2>&1) && return
    bad=$(printf '%s\n' "$report" | grep -v ': OK$' | head -n 1)
    stop 12 "the kit is damaged ($bad). Copy it to the stick again."
}

check_cpu() {
    [ -r /proc/cpuinfo ] || return 0
    for feature in $KIT_CPU; do
        grep -qw "$feature" /proc/cpuinfo ||
            stop 14 "this computer's processor has no $feature, which the kit was built for. Make the kit again with" \
                "--cpu portable, or on a computer with a processor like this one."
    done
}

describe_python() {
    "$1" -I -c 'import platform, sys
print(platform.python_implementation(), platform.system(), platform.machine(), "%d.%d" % sys.version_info[:2])' 2>/dev/null
}

find_python() {
    wanted="CPython $KIT_SYSTEM $KIT_MACHINE"
    found=
    set -- "${PYTHON:-}"
    [ -n "$1" ] || set -- $(for series in $KIT_PYTHON; do echo "python$series"; done) python3
    for name; do
        here=$(describe_python "$name") || continue
        for series in $KIT_PYTHON; do
            [ "$here" != "$wanted $series" ] || { python=$name; return 0; }
        done
        found=${found:-$here}
    done
    stop 14 "the kit is for $wanted, Python $KIT_PYTHON; found here: ${found:-no Python}. Install one of these, name it" \
        "with PYTHON=/path/to/python, or make the kit again for what is here."
}

check_libc() {
    [ -n "$KIT_GLIBC" ] || return 0
    "$python" -I -c 'import platform, sys
have, need = (tuple(map(int, text.split("."))) for text in (platform.libc_ver()[1], sys.argv[1]))
sys.exit(have < need)' "$KIT_GLIBC" 2>/dev/null ||
        stop 14 "the kit needs glibc $KIT_GLIBC or newer. Make it again on a computer with a system as old as this one."
}

check_signer() {  # the key that is asked for, or the one that has signed what is installed
    known=${SIGNER:-}
    [ -n "$known" ] || [ ! -r "$folder/signer" ] || known=$(cat "$folder/signer")
    signer=$("$python" -I "$kit/verify.py" "$kit" 2>&1) || stop 12 "$(last_line "$signer")"
    [ -z "$known" ] || [ "$signer" = "$known" ] ||
        stop 12 "the kit must be signed by $known, and is ${signer:+signed by }${signer:-not signed}. Ask who made it."
    [ -z "$signer" ] || say "  signed by $signer"
}

begin() {  # the folder is ours from here on, and no other installer's
    if [ ! -e "$folder" ]; then
        mkdir -p "$folder" 2>/dev/null || stop 16 "$folder cannot be made."
        fresh=yes
    fi
    is_ours || stop 2 "$folder holds something else. Name another folder: sh install.sh FOLDER"
    target=$(cd "$folder" && pwd)
    (: >"$target/.installation") 2>/dev/null || stop 16 "nothing can be written in $target."
    note=$target/.installing
    if [ -r "$note" ] && kill -0 "$(cat "$note")" 2>/dev/null; then
        stop 11 "another installer is at work in $target (process $(cat "$note")). Wait for it; if there is none," \
            "delete the file $note."
    fi
    rm -f "$note"
    (set -C; echo $$ >"$note") 2>/dev/null || stop 16 "nothing can be written in $target."
    lock=$note
}

is_ours() {  # an installation, a folder with nothing in it, or what the kit of 0.1.0 left: in no other is anything removed
    [ -e "$folder/.installation" ] || [ -z "$(ls -A "$folder" 2>&1)" ] ||
        { [ -e "$folder/bin/xraygpt-edge" ] && [ -e "$folder/pyvenv.cfg" ] && [ -e "$folder/example.dcm" ]; }
}

in_use() {  # whether a version is the one that answers, or the one before it
    [ "$1/bin/xraygpt-edge" -ef "$target/bin/xraygpt-edge" ] || [ "$1/bin/xraygpt-edge" -ef "$target/bin/previous" ]
}

sweep() {  # what nothing leads to any more: a version before the last, or one that an interrupted installer left
    for old in "$target"/versions/*; do
        [ ! -d "$old" ] || in_use "$old" || rm -rf "$old"
    done
    [ -e "$target/pyvenv.cfg" ] && [ -L "$target/bin/xraygpt-edge" ] && [ -L "$target/bin/previous" ] || return 0
    rm -rf "$target/lib" "$target/lib64" "$target/include"  # 0.1.0 lay in the folder itself
    for old in "$target"/bin/*; do
        case $old in */xraygpt-edge | */previous) ;; *) rm -rf "$old" ;; esac
    done
    rm -f "$target/pyvenv.cfg"
}

check_room() {
    free=$("$python" -I -c 'import shutil, sys; print(shutil.disk_usage(sys.argv[1]).free >> 20)' "$target")
    [ "$free" -ge "$KIT_ROOM_MIB" ] ||
        stop 16 "the program takes $KIT_ROOM_MIB MiB, and $free are free in $target. Make room, or name a folder elsewhere."
}

install_program() {
    number=1
    while [ -e "$target/versions/$number" ]; do number=$((number + 1)); done
    new=$target/versions/$number
    words=$("$python" -I -m venv --without-pip "$new" 2>&1) ||
        stop 14 "this Python cannot make an environment ($(last_line "$words"))."
    pip=$(grep -o 'wheels/pip-[^/]*\.whl$' "$kit/SHA256SUMS")  # another of its name would be in no list
    words=$("$new/bin/python" "$kit/$pip/pip" install --isolated -qq --no-cache-dir --disable-pip-version-check --no-index \
        --find-links "$kit/wheels" --require-hashes -r "$kit/requirements-$series.txt" 2>&1) ||
        stop 16 "the packages could not be installed ($(last_line "$words"))."
    program=$new/bin/xraygpt-edge
}

install_bundle() {
    bundle=$kit/bundle/$KIT_BUNDLE
    there=$("$new/bin/python" -I -c 'from xraygpt_edge.bundle.store import bundle_store; print(bundle_store())')/$KIT_BUNDLE
    if [ ! -e "$there" ]; then
        words=$("$program" bundle install "$bundle" 2>&1) || stop "$?" "$(last_line "$words")"
        brought=$there
    elif cmp -s "$there/manifest.json" "$bundle/manifest.json"; then
        say "  it is installed already, and stays"
    else
        stop 2 "another model of the name $KIT_BUNDLE is installed, and stays. Remove it first (the folder $there), or make" \
            "the kit with this one under another name."
    fi
}

try_out() {
    "$program" doctor && return
    [ "$fresh" = yes ] || stop 14 "the new program does not work here: the table above says why. The one before it stays."
    works=no
}

place() {  # one file of the installation, whole or as it was
    rm -f "$target/$2.next"
    { cp -pPR "$1" "$target/$2.next" && mv -f "$target/$2.next" "$target/$2"; } 2>/dev/null && return
    rm -f "$target/$2.next"
    stop 16 "$target/$2 cannot be written."
}

switch() {  # from the last rename on the new program answers; each step before leaves the old one
    { mkdir -p "$target/bin" && ln -s "../versions/$number/bin/xraygpt-edge" "$new/link" && echo "$signer" >"$new/signer"; } \
        2>/dev/null || stop 16 "nothing can be written in $target."
    for name in example.dcm undo.sh uninstall.sh; do place "$kit/$name" "$name"; done
    [ -z "$signer" ] || place "$new/signer" signer
    [ ! -e "$target/bin/xraygpt-edge" ] || place "$target/bin/xraygpt-edge" bin/previous
    ! command -v sync >/dev/null || sync
    place "$new/link" bin/xraygpt-edge
    done=yes
    sweep
}

kit=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=${1:-${HOME-}/xraygpt-edge}
works=yes
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

say "Checking every file of the kit: 10 s for each gigabyte, longer from a slow stick."
check_files
. "$kit/kit.conf"
say "Looking at this computer."
check_cpu
find_python
check_libc
check_signer
begin
sweep
check_room
say "Installing the program in $target: about a minute."
install_program
say "Installing the model $KIT_BUNDLE: it is copied, and checked before and after."
install_bundle
say "Trying it out."
try_out
switch
program=$target/bin/xraygpt-edge
[ "$works" = yes ] || {
    printf 'Installed, but it does not work here: the table above says why.\n' >&2
    exit 14
}
say "Ready. Ask about a drawn picture first, then about your own:"
printf '\n    "%s" ask "%s" "Describe the given chest x-ray image in detail." --bundle %s\n\n' \
    "$program" "$target/example.dcm" "$KIT_BUNDLE"
printf 'Or in the browser:\n\n    "%s" serve --bundle %s\n\n' "$program" "$KIT_BUNDLE"
