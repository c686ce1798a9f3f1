#!/usr/bin/env bash
# Creates the virtual environment $1 with all pinned dependencies and this project.
# If the machine lacks something, prints one line that says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1

fail() { echo "$1" >&2; exit 1; }

command -v "$PYTHON" >/dev/null || fail "Python is missing: apt install python3 python3-venv"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$PYTHON" --version) is too old: Python 3.11 or newer is needed (make PYTHON=python3.12)"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python's venv module is missing: apt install python3-venv"

echo "Setting up $venv …"
"$venv/bin/python" -c '' 2>/dev/null || "$PYTHON" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
"$venv/bin/python" -c 'from conexiones.transport.process.envoy import libpython; libpython()' 2>/dev/null ||
    fail "$("$venv/bin/python" -c 'from conexiones.transport.process.envoy import libpython
try: libpython()
except RuntimeError as error: print(error)')"
