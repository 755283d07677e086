# Sourced by scripts/demo and scripts/test: makes .venv and installs the package into it, once.
#
#     set_up EXTRA    EXTRA is `cli` or `dev`, as in pyproject.toml
#
# What was installed is stamped with the checksum of pyproject.toml, so that the next run starts at once.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
python=$venv/bin/python

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

is_recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
    local candidate found=
    for candidate in python3 python3.13 python3.12 python3.11; do
        command -v "$candidate" >/dev/null && is_recent "$candidate" || continue
        found=$candidate
        "$candidate" -m venv "$venv" >/dev/null 2>&1 && return
    done
    [ -n "$found" ] || fail "needs Python 3.11 or newer, and found none: tried python3, python3.13, python3.12, python3.11"
    fail "$found cannot make a virtual environment: '$found -m venv $venv' fails (on Debian and Ubuntu it takes the package python3-venv)"
}

set_up() {
    local extra=$1 stamp checksum
    checksum=$(cksum <"$root/pyproject.toml")
    for stamp in "$venv/.installed-$extra" "$venv/.installed-dev"; do # dev includes cli
        [ "$(cat "$stamp" 2>/dev/null)" = "$checksum" ] && [ -x "$python" ] && return
    done
    [ -x "$python" ] && "$python" -m pip --version >/dev/null 2>&1 || make_venv
    is_recent "$python" || fail "$venv has a Python older than 3.11: remove it and run this again"
    echo "Installing phasm-fdb[$extra] into $venv ..." >&2
    "$python" -m pip install --quiet --disable-pip-version-check --editable "$root[$extra]" ||
        fail "the installation failed; the lines above say why"
    echo "$checksum" >"$venv/.installed-$extra"
}
