#!/usr/bin/env bash
# Sees to what the machine itself has to have, before anything else is downloaded: Python with its venv module and its
# shared library, for the virtual environment $1; if $2 is `test`, also the programs without which tests are skipped.
# On Debian and Ubuntu, root gets missing packages installed, unless CONEXIONES_APT=no. Everybody else gets the one
# line that installs them.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 purpose=${2:-}
required=() optional=()

fail() { echo "$*" >&2; exit 1; }

look_for_python() {
    local python=$PYTHON version name
    if "$venv/bin/python" -c '' 2>/dev/null; then python=$venv/bin/python; fi
    if ! command -v "$python" >/dev/null; then
        python_is_missing
        return
    fi
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$python" --version) is too old: Python 3.11 or newer is needed (make PYTHON=python3.12, for one)."
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [[ $(readlink -f /usr/bin/python3) == */python$version ]]; then name=python3; else name=python$version; fi
    # An environment that is there needs no venv module any more.
    [[ $python == "$venv"/* ]] || "$python" -c 'import ensurepip, venv' 2>/dev/null || required+=("$name-venv")
    "$python" tools/libpython.py 2>/dev/null || required+=("libpython$version")
    if ((${#required[@]})) && [[ $("$python" -c 'import sys; print(sys.base_prefix)') != /usr ]]; then
        fail "$(command -v "$python") was built without its shared library (--enable-shared) or its venv module, which are" \
            "needed: use another Python (make clean, then make PYTHON=/usr/bin/python3 demo, for one)."
    fi
}

python_is_missing() {
    local version=${PYTHON#python}
    [[ $PYTHON =~ ^python3(\.[0-9]+)?$ ]] || fail "There is no $PYTHON: Python 3.11 or newer is needed."
    [[ $PYTHON == python3 || ! $(candidate python3) || $(candidate "$PYTHON") ]] ||
        fail "There is no $PYTHON, nor a package of that name."
    if [[ $version == 3 ]]; then version=$(candidate python3 | sed -nE 's/^(3\.[0-9]+).*/\1/p'); fi
    # Where apt has no lists, libpython3-dev is a name that needs no version, and depends on the library.
    required+=("$PYTHON" "$PYTHON-venv" "libpython${version:-3-dev}")
}

look_for_programs() {
    # Ubuntu has no package with Chromium, only a snap.
    command -v chromium >/dev/null || grep -qsx ID=ubuntu /etc/os-release || optional+=(chromium)
    command -v curl >/dev/null || optional+=(curl)
    command -v systemd-analyze >/dev/null || optional+=(systemd)
    command -v h2load >/dev/null || optional+=(nghttp2-client)
    command -v prometheus >/dev/null || optional+=(prometheus)
}

# The version of a package that apt would install; nothing if it knows none.
candidate() { { LC_ALL=C apt-cache policy "$1" 2>/dev/null || true; } | sed -nE 's/^  Candidate: ([^(].*)/\1/p'; }

install() {
    local log
    (($#)) || return 0
    echo "Installing Debian packages (CONEXIONES_APT=no prevents it): $*" >&2
    log=$(DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@" </dev/null 2>&1) || { echo "$log" >&2; return 1; }
}

look() {
    required=() optional=()
    look_for_python
    if [[ $purpose == test ]]; then look_for_programs; fi
}

look
if ((${#required[@]} + ${#optional[@]})) && command -v apt-get >/dev/null &&
    ((EUID == 0)) && [[ ${CONEXIONES_APT:-} != no ]]; then
    apt-get update -qq </dev/null || echo "apt-get update failed, so its old lists are used" >&2
    look # now that apt knows versions
    install "${required[@]}" || exit 1
    install "${optional[@]}" || true # without them, tests are skipped
    look
fi

missing=("${required[@]}" "${optional[@]}")
how="apt install ${missing[*]}"
if ((EUID)); then how="sudo $how"; fi
if ! command -v apt-get >/dev/null; then how="install what Debian calls ${missing[*]}"; fi
if ((${#required[@]})) || { ((${#missing[@]})) && [[ ${CI:-} == true ]]; }; then
    fail "Packages are missing. Do this first: $how"
elif ((${#optional[@]})); then
    echo "Some tests will be skipped. To run them as well: $how" >&2
fi
