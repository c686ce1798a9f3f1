#!/usr/bin/env bash
# Creates the virtual environment $1 with all pinned dependencies and this project. packages.sh has been before.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1

echo "Setting up $venv …"
"$venv/bin/python" -c '' 2>/dev/null || "$PYTHON" -m venv --clear "$venv"
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" --require-hashes -r requirements/dev.txt
"${pip[@]}" --no-deps --no-build-isolation -e .
"$venv/bin/python" -c 'from conexiones.transport.process.envoy import libpython; libpython()'
