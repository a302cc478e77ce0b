#!/usr/bin/env bash
# Installs what the tests, the bench and the demo need and is missing. Says what it does.
# Debian and Ubuntu: through apt, with sudo unless root. Elsewhere: names what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null 2>&1; }

has_postgresql() {
    [ -n "${PGWEIR_PG_BIN:-}" ] && [ -x "$PGWEIR_PG_BIN/initdb" ] && return
    # shellcheck disable=SC2144 # globs that match nothing stay as they are, and are no file
    local dir
    for dir in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin \
        /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
        [ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/pgbench" ] && return
    done
    return 1
}

has_venv() { python3 -c 'import venv, ensurepip' 2>/dev/null; }

has_pgbouncer() { has pgbouncer || [ -x /usr/sbin/pgbouncer ]; }

missing=()
has make || missing+=(make)
has cc || missing+=(gcc libc6-dev)        # ring, and the linker
has c++ || missing+=(g++)                 # libFuzzer
has_postgresql || missing+=(postgresql postgresql-client)
has python3 || missing+=(python3)
has_venv || missing+=(python3-venv)
has_pgbouncer || missing+=(pgbouncer)

install_by_apt() {
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || { echo "setup: run as root, or install sudo" >&2; exit 1; }
        sudo=(sudo)
    fi
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q
        -o Dpkg::Use-Pty=0 install --no-install-recommends)
    "${sudo[@]}" apt-get -q update

    # Our tests start servers of their own; the system shall get none by the way.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        # shellcheck disable=SC2064 # expanded now on purpose: both are local
        trap "${sudo[*]} rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod 755 "$policy"
    fi
    if [[ " ${missing[*]} " == *" postgresql "* ]]; then
        "${apt[@]}" postgresql-common
        "${sudo[@]}" sed -i -E 's/^#? *create_main_cluster *=.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
    fi
    "${apt[@]}" "${missing[@]}"
    if [[ " ${missing[*]} " == *" pgbouncer "* ]] && [ -d /run/systemd/system ]; then
        "${sudo[@]}" systemctl disable --quiet pgbouncer || true
    fi
}

if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: missing: ${missing[*]}"
    if has apt-get; then
        install_by_apt
    else
        echo "setup: no apt-get here; please install these (Debian's names), then run this again:" >&2
        printf '  %s\n' "${missing[@]}" >&2
        exit 1
    fi
fi
has_postgresql || { echo "setup: still no PostgreSQL server; set PGWEIR_PG_BIN" >&2; exit 1; }

# Python with the drivers that tests/drivers use. tests/common looks for it here.
python=${PGWEIR_PYTHON:-target/python/bin/python}
if ! "$python" -c 'import psycopg, asyncpg' 2>/dev/null; then
    if [ -n "${PGWEIR_PYTHON:-}" ]; then
        echo "setup: $PGWEIR_PYTHON lacks psycopg or asyncpg; see tests/requirements.txt" >&2
        exit 1
    fi
    echo "setup: making target/python"
    rm -rf target/python
    python3 -m venv target/python
    target/python/bin/python -m pip install --quiet --disable-pip-version-check \
        -r tests/requirements.txt
fi
