# Shared by test/run, test/one, demo/run and bench: packages, a private server installation, a scratch server.
# Sourced, not run. It promises that nothing it starts or writes outside the checkout outlives the script that
# sourced it (cleanup is on EXIT), that an existing cluster or installed extension is never touched, and that a
# failing step ends the script with a message naming it.

set -euo pipefail

# Neither the caller's locale nor its PostgreSQL settings decide what a test sees.
export LC_ALL=C.UTF-8
# What is made here, user postgres reads.
umask 022
unset PGHOST PGPORT PGUSER PGDATABASE PGSERVICE PGOPTIONS PGDATA PGPASSFILE PGCLIENTENCODING

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=$(nproc 2>/dev/null || echo 1)

say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

need_root() {
  [ "$(id -u)" -eq 0 ] || die "$1 installs packages and starts a server as user postgres: run it as root (everybody else: make, make install, make installcheck)"
  [ -f /etc/debian_version ] && command -v apt-get >/dev/null || die "$1 needs Debian (12 is what it is made for)"
}

# --- packages -----------------------------------------------------------------------------------------------------

# missing_packages NAME...: those of them that are not installed, one per line
missing_packages() {
  local p
  for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed$' || echo "$p"
  done
}

# ensure_packages NAME...: install what is missing. PostgreSQL's package would make and start a cluster "main" of its
# own; that is switched off while it is installed, and back on afterwards, however this ends.
ensure_packages() {
  local missing
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  say "installing $missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q </dev/null || echo "warning: apt-get update failed; going on with the package lists at hand" >&2
  # shellcheck disable=SC2086
  (
    conf=/etc/postgresql-common/createcluster.conf
    if [[ " $missing" =~ \ postgresql-[0-9] ]]; then
      apt_install postgresql-common
      if [ -f $conf ]; then
        cp -p $conf $conf.pg_stream
        trap 'mv $conf.pg_stream $conf' EXIT
        trap 'exit 130' INT TERM HUP
        echo 'create_main_cluster = false' >>$conf
      fi
    fi
    apt_install $missing
  ) || die "could not install: $missing"
}

apt_install() { apt-get install -q -y --no-install-recommends "$@" </dev/null; }

# For native code: Debian 12's server development files bring an LLVM that is too old (14), later ones bring one that will do.
llvm_packages() {
  [ "$(sed -nE 's/^VERSION_CODENAME=//p' /etc/os-release)" != bookworm ] || echo llvm-19-dev
}

# What building and testing against server version $1 needs.
server_packages() {
  echo "gcc g++ make perl libipc-run-perl python3-psycopg2 libfmt-dev libc6-dev" "$(llvm_packages)" \
       "postgresql-$1 postgresql-server-dev-$1 postgresql-$1-pgtap $(neighbour_packages "$1")"
}
# Extensions that are tested beside ours, and by which library or control file test/t/060_neighbours.pl knows them. Debian 12
# has no pgvector for its PostgreSQL 15.
neighbour_packages() {
  echo "postgresql-$1-cron postgresql-plperl-$1"
  [ "$1" -lt 17 ] || echo "postgresql-$1-pgvector"
}
neighbours() {
  echo "pg_stat_statements auto_explain pg_cron plperl"
  [ "$1" -lt 17 ] || echo "vector"
}
unit_packages="cmake g++ make libgtest-dev $(llvm_packages)"

# --- a private installation and a scratch server --------------------------------------------------------------------

stage=
stop_server() {
  if [ -n "$stage" ] && [ -s "$stage/data/postmaster.pid" ]; then
    as_postgres "$stage/bin/pg_ctl" -D "$stage/data" -m "${1:-fast}" -s stop || true
  fi
}

cleanup() {
  local rc=$?
  trap - EXIT INT TERM HUP
  stop_server immediate
  [ -z "$stage" ] || rm -rf "$stage"
  exit $rc
}

as_postgres() { (cd / && exec runuser -u postgres -- "$@"); }

# make_stage VERSION: a relocated copy of the packaged server in a temporary directory ($stage), so that installing
# the extension changes nothing of the machine's own. $pg_config is that copy's; $stage/bin its programs.
make_stage() {
  local v=$1 lib
  [ -x "/usr/lib/postgresql/$v/bin/pg_config" ] || die "PostgreSQL $v is not installed: packages $(server_packages "$v")"
  # Exits on these signals go through the EXIT trap.
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  trap cleanup EXIT
  stage=$(mktemp -d "/tmp/pg_stream-$v.XXXXXX")
  mkdir -p "$stage/usr/lib/postgresql" "$stage/usr/share/postgresql" "$stage/usr/include" "$stage/usr/lib/$(gcc -print-multiarch)"
  cp -a "/usr/lib/postgresql/$v" "$stage/usr/lib/postgresql/"
  cp -a "/usr/share/postgresql/$v" "$stage/usr/share/postgresql/"
  ln -s /usr/include/postgresql "$stage/usr/include/postgresql"
  for lib in "/usr/lib/$(gcc -print-multiarch)"/libpq* "/usr/lib/$(gcc -print-multiarch)"/libpg*; do
    [ ! -e "$lib" ] || ln -s "$lib" "$stage/usr/lib/$(gcc -print-multiarch)/"
  done
  ln -s "usr/lib/postgresql/$v/bin" "$stage/bin"
  pg_config=$stage/usr/lib/postgresql/$v/bin/pg_config
  mkdir "$stage/data" "$stage/socket" "$stage/files"
  chmod 755 "$stage"
  chown postgres "$stage/data" "$stage/socket" "$stage/files"
}

# build_and_install: into the stage's copy
build_and_install() {
  make -s -C "$top" --no-print-directory -j "$jobs" PG_CONFIG="$pg_config" WERROR="${WERROR:-}" all
  make -C "$top" --no-print-directory PG_CONFIG="$pg_config" install >/dev/null
}

# start_server [SETTING...]: a scratch server that preloads the library, reachable through its socket directory only
start_server() {
  local s
  as_postgres "$stage/bin/initdb" -D "$stage/data" -U postgres -A trust -N --encoding=UTF8 --locale=C >"$stage/files/initdb.log" 2>&1 ||
    { cat "$stage/files/initdb.log"; die "initdb failed"; }
  {
    echo "shared_preload_libraries = 'pg_stream'"
    echo "listen_addresses = ''"
    echo "unix_socket_directories = '$stage/socket'"
    echo "port = 5432"
    echo "max_prepared_transactions = 20"
    for s in "$@"; do echo "$s"; done
  } >>"$stage/data/postgresql.conf"
  as_postgres "$stage/bin/pg_ctl" -D "$stage/data" -l "$stage/files/server.log" -w -t 60 -s start ||
    { cat "$stage/files/server.log"; die "the scratch server did not start"; }
  export PGHOST=$stage/socket PGPORT=5432 PGUSER=postgres
}
