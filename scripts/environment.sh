# Sourced by scripts/demo, scripts/test and .ci/run: makes .venv and installs the package into it, once.
#
#     set_up EXTRA             EXTRA is `cli` or `dev`, as in pyproject.toml
#     set_up_on PYTHON EXTRA   the same in a .venv-VERSION of its own, with another Python
#     newer_pythons            prints the Pythons of this machine that are newer than the one of .venv, one of each version
#
# What was installed is stamped with the checksum of pyproject.toml, so that the next run starts at once.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
python=$venv/bin/python
candidates=(python3 python3.14 python3.13 python3.12 python3.11)

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

is_recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
    local candidate found=
    for candidate in "${candidates[@]}"; do
        command -v "$candidate" >/dev/null && is_recent "$candidate" || continue
        found=$candidate
        "$candidate" -m venv "$venv" >/dev/null 2>&1 && return
    done
    [ -n "$found" ] || fail "needs Python 3.11 or newer, and found none: tried ${candidates[*]}"
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

set_up_on() {
    candidates=("$1")
    venv=$root/.venv-$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    python=$venv/bin/python
    set_up "$2"
}

newer_pythons() {
    local minor candidate
    minor=$("$python" -c 'import sys; print(sys.version_info[1])')
    while [ "$minor" -lt 30 ]; do
        minor=$((minor + 1))
        # By name, and where pyenv keeps what it does not put on the PATH; a shim of pyenv may lead to none.
        for candidate in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python3; do
            if "$candidate" -c "import sys; sys.exit(sys.version_info[:2] != (3, $minor))" 2>/dev/null; then
                echo "$candidate"
                break
            fi
        done
    done
}
