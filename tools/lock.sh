#!/usr/bin/env bash
# Writes requirements/*.txt: every dependency pinned with hashes, for all platforms, without index addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "uv is missing: pip install uv" >&2; exit 1; }

pin() {
    env -u PIP_FIND_LINKS -u UV_FIND_LINKS uv pip compile --universal --generate-hashes --no-emit-index-url \
        --no-emit-find-links --no-header --quiet --python-version 3.11 "$@"
}

pin --all-extras --group dev pyproject.toml -o requirements/dev.txt "$@"
pin --extra server --extra postgres --extra s3 pyproject.toml -o requirements/server.txt "$@"
pin --group release -o requirements/release.txt "$@"
pin --group node -o requirements/node.txt "$@"
