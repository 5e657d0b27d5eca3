#!/bin/sh
# Installs xraygpt-edge from this folder: no network, no compiler, no administrator.
#
#   sh install.sh [FOLDER]                    FOLDER: where the program goes; ~/xraygpt-edge without it
#   PYTHON=/path/to/python sh install.sh      takes that Python
#
# Ends with 0, or with one line and: 2 the folder is taken, 12 the kit is damaged,
# 14 this computer does not fit, 16 it could not be written.
set -eu
unset PYTHONPATH PYTHONHOME  # another program's packages are not ours

began=$(date +%s)
target=
done=no

say() { printf '[%3d s] %s\n' "$(($(date +%s) - began))" "$*"; }

stop() {
    code=$1
    shift
    printf 'Not installed: %s\n' "$*" >&2
    exit "$code"
}

clean_up() {  # what was begun and not finished goes away again
    code=$?
    [ "$done" = yes ] || [ -z "$target" ] || rm -rf "$target"
    exit "$code"
}

check_files() {
    sums="sha256sum"
    command -v sha256sum >/dev/null || sums="shasum -a 256"
    report=$(cd "$kit" && LC_ALL=C $sums -c SHA256SUMS 2>&1) && return
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
print(platform.python_implementation(), "%d.%d" % sys.version_info[:2], platform.system(), platform.machine())' 2>/dev/null
}

find_python() {
    wanted="CPython $KIT_PYTHON $KIT_SYSTEM $KIT_MACHINE"
    found=
    for python in ${PYTHON:+"$PYTHON"} "python$KIT_PYTHON" python3; do
        here=$(describe_python "$python") || continue
        [ "$here" != "$wanted" ] || return 0
        found=${found:-$here}
    done
    stop 14 "the kit is for $wanted; found here: ${found:-no Python}. Install Python $KIT_PYTHON, name it with" \
        "PYTHON=/path/to/python$KIT_PYTHON, or make the kit again with the Python that is here."
}

check_libc() {
    [ -n "$KIT_GLIBC" ] || return 0
    "$python" -I -c 'import platform, sys
have, need = (tuple(map(int, text.split("."))) for text in (platform.libc_ver()[1], sys.argv[1]))
sys.exit(have < need)' "$KIT_GLIBC" 2>/dev/null ||
        stop 14 "the kit needs glibc $KIT_GLIBC or newer. Make it again on a computer with a system as old as this one."
}

choose_folder() {
    folder=${1:-$HOME/xraygpt-edge}
    [ ! -e "$folder" ] || stop 2 "$folder exists already. Remove it, or name another folder: sh install.sh FOLDER"
    mkdir -p "$folder" || stop 16 "$folder cannot be made."
    target=$(cd "$folder" && pwd)
}

install_program() {
    "$python" -m venv --without-pip "$target" || stop 14 "this Python cannot make an environment (its words are above)."
    set -- "$kit"/wheels/pip-*.whl  # pip runs from its own wheel, since a system's Python may have none
    "$target/bin/python" "$1/pip" install --isolated -qq --no-cache-dir --disable-pip-version-check \
        --no-index --find-links "$kit/wheels" --require-hashes -r "$kit/requirements.txt" ||
        stop 16 "the packages could not be installed (the reason is above)."
    cp "$kit/example.dcm" "$target/example.dcm"
    program=$target/bin/xraygpt-edge
}

install_bundle() {
    bundle=$kit/bundle/$KIT_BUNDLE
    status=0
    words=$("$program" bundle install "$bundle" 2>&1) || status=$?
    [ "$status" != 0 ] || return 0
    if [ "$status" = 2 ] && [ "$("$program" bundle info "$KIT_BUNDLE" --json)" = "$(cat "$bundle/manifest.json")" ]; then
        say "  it is installed already, and stays"
        return 0
    fi
    stop "$status" "$words"
}

kit=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$kit/kit.conf"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "Checking every file of the kit: 10 s for each gigabyte, longer from a slow stick."
check_files
say "Looking at this computer."
check_cpu
find_python
check_libc
choose_folder "$@"
say "Installing the program in $target: about a minute."
install_program
say "Installing the model $KIT_BUNDLE: it is copied, and checked before and after."
install_bundle
done=yes
say "Trying it out."
"$program" doctor || {
    printf 'Installed, but it does not work here: the table above says why.\n' >&2
    exit 14
}
say "Ready. Ask about a drawn picture first, then about your own:"
printf '\n    "%s" ask "%s" "Describe the given chest x-ray image in detail." --bundle %s\n\n' \
    "$program" "$target/example.dcm" "$KIT_BUNDLE"
