#!/bin/sh
# Installs the servers that the tests run against, where they are missing; says so where it cannot.
set -eu
missing=""
command -v redis-server >/dev/null || missing="$missing redis-server"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v setpriv >/dev/null || missing="$missing util-linux"
command -v node >/dev/null || missing="$missing nodejs npm"
command -v chromium >/dev/null || missing="$missing chromium"
ls /usr/lib/*/libmagic.so.1 /lib/*/libmagic.so.1 >/dev/null 2>&1 || missing="$missing libmagic1"
[ -z "$missing" ] && exit 0
echo "Installing$missing from Debian's packages …"
run=""
[ "$(id -u)" = 0 ] || run="sudo -n"
if ! command -v apt-get >/dev/null; then
    echo "No apt-get here: install$missing by hand, then run this again." >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! { $run apt-get update -qq && $run apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
    echo "Could not install$missing: run  sudo apt-get install$missing  and try again." >&2
    exit 2
fi
