#!/bin/sh
# Makes up the passwords that compose.yaml needs, in .env beside it, which only you may read. Keep a copy: without the
# password of PostgreSQL and the keys of the object store, servers do not find their data any more.
set -eu
umask 077
cd "$(dirname "$0")"
if [ -e .env ]; then
    echo "$PWD/.env is there already: it is left as it is." >&2
    exit 1
fi
secret() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}
cat >.env <<END
POSTGRES_PASSWORD=$(secret)
S3_ACCESS_KEY=$(secret)
S3_SECRET_KEY=$(secret)
END
echo "$PWD/.env"
