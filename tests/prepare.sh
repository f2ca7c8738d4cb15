#!/bin/sh
# What the tests want of the machine beside Python: installed by apt-get where we may, named where we may not.
set -eu

# need COMMANDS PACKAGE LEFT_OUT: one of the commands, from this package; without it so much is left out.
need() {
    for command in $1; do
        if command -v "$command" >/dev/null 2>&1; then return; fi
    done
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "The tests want $2; installing it by apt-get."
        log=$(mktemp)
        apt-get update >"$log" 2>&1 || true # old lists may still do
        if DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2" >>"$log" 2>&1; then
            # Debian starts what it installs; the tests start their own, and nobody asked for a service.
            if [ -d /run/systemd/system ]; then systemctl disable --now --quiet "$2" || true; fi
            rm -f "$log"
            return
        fi
        cat "$log" >&2
        rm -f "$log"
    fi
    echo "Missing: $2. Left out: $3." >&2
    if [ -n "${CI:-}" ]; then
        echo "Where CI is set nothing may be left out; install it and run this again." >&2
        exit 1
    fi
}

need "prometheus-alertmanager alertmanager" prometheus-alertmanager "the tests with a real Alertmanager"
need strace strace "kill -9 at every call, power cuts and failing syncs (tests/faults)"
need faketime faketime "the runs of a real process whose clock is set (tests/faults/test_faketime.py)"
need "chromium chromium-browser google-chrome" chromium "the page behind an SMS link in a real browser"
