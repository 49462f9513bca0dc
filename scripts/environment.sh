#!/bin/sh
# Makes the virtual environment and puts uv into it; says what to do where that cannot be.
set -eu
python=$1 venv=$2 uv_version=$3
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Passerelle needs Python 3.11 or newer; '$python' is not. Try: make PYTHON=python3.12 …" >&2
    exit 2
fi
if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
        "$python" -m venv "$venv"
    else
        echo "Python cannot make virtual environments here. On Debian: sudo apt-get install python3-venv" >&2
        exit 2
    fi
fi
"$venv/bin/python" -m pip install -q --disable-pip-version-check "uv==$uv_version" 2>/dev/null ||
    "$venv/bin/python" -m pip install "uv==$uv_version"
