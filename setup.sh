#!/bin/sh
# What `make setup` runs: .venv with exactly what requirements.lock names, and the project itself in it.
# Needs Python 3.11 to 3.14; a second run sees that nothing changed and does nothing, without a network.
set -eu
cd "$(dirname "$0")"

# The folder is part of it: the programs in .venv/bin know where they were installed.
wanted="$(pwd) $(cat requirements.lock pyproject.toml setup.sh | cksum)"
stamp=.venv/.set-up
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

fail() {
    echo
    cat "$log" >&2
    echo "setup: $1" >&2
    exit 1
}

# quietly WHAT COMMAND…: its output is shown only when it fails.
quietly() {
    what=$1
    shift
    "$@" >"$log" 2>&1 || fail "$what failed; what it said stands above"
}

newest_python() {
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        # Run, not only looked for: a version manager leaves names on PATH that start nothing.
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
}

python=$(newest_python)
if [ -z "$python" ]; then
    fail "needs Python 3.11 to 3.14; python3 here is: $(python3 --version 2>&1 || true)"
fi

began=$(date +%s)
if [ -e "$stamp" ]; then printf 'Setting up again, something changed: '; else printf 'Setting up, first time only: '; fi

if ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "$python comes without venv and ensurepip; install a Python that has them"
    fi
    package="$python-venv"
    if python3 -c 'import sys; sys.exit(sys.argv[1] != "python%d.%d" % sys.version_info[:2])' "$python"; then
        package=python3-venv # the name that Debian's own Python goes by
    fi
    if [ "$(id -u)" -ne 0 ]; then fail "$python comes without venv; run this once: sudo apt-get install -y $package"; fi
    printf '%s (by apt-get) … ' "$package"
    apt-get update >"$log" 2>&1 || true # old lists may still do
    quietly "apt-get install $package" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$package"
fi

printf '%s … ' "$("$python" --version)"
moved=no
if [ -f "$stamp" ] && [ "$(cut -d' ' -f1 "$stamp")" != "$(pwd)" ]; then moved=yes; fi
if [ "$moved" = yes ] || ! .venv/bin/python -c '' 2>/dev/null; then
    rm -rf .venv
    quietly "making .venv" "$python" -m venv .venv
fi
rm -f "$stamp" # an interrupted run must not pass for a finished one

uv=$(command -v uv || echo .venv/bin/uv)
if ! "$uv" --version >/dev/null 2>&1; then
    quietly "installing uv" .venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
fi

printf '%s packages … ' "$(grep -c '^[a-z0-9].*==' requirements.lock)"
quietly "installing requirements.lock" "$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
printf 'sms-bridge … '
quietly "installing the project" \
    "$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .

echo "$wanted" >"$stamp"
echo "done in $(($(date +%s) - began)) s"
