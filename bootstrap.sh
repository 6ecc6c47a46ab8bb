#!/bin/sh
# Makes the virtual environment VENV from requirements.lock, installing Debian packages that are missing.
# usage: bootstrap.sh VENV [PACKAGE…]   PACKAGE: further Debian packages, such as those the lab needs
set -eu
venv=$1
shift
cd "$(dirname "$0")"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_missing_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null || {
        echo "bootstrap.sh: install these with your package manager, then run again:$missing" >&2
        exit 2
    }
    echo "Installing Debian packages:$missing"
    as_root apt-get update -q >/dev/null
    # shellcheck disable=SC2086  # a list of names, meant to be split
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >/dev/null
}

python=
for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    install_missing_packages python3
    python=python3
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "bootstrap.sh: Python 3.11 or newer is needed (Debian 12, Ubuntu 24.04 or newer carry it)." >&2
    exit 2
}
"$python" -c 'import ensurepip, venv' 2>/dev/null || install_missing_packages python3-venv
[ $# -eq 0 ] || install_missing_packages "$@"

echo "Making the virtual environment $venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install -q --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install -q --no-deps --no-build-isolation -e .
