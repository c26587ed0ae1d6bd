#!/usr/bin/env bash
# mariadb.sh up|down|status: the database of Slurm's accounting, run by Slurm's own user.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
dir=$HOME_DIR/mariadb
pidfile=$dir/mariadb.pid

up() {
  alive "$pidfile" mariadbd && return
  install -d -o slurm -g slurm -m 0755 "$dir" "$dir/tmp"
  fill "$CLUSTER_DIR/mariadb/my.cnf.in" "$dir/my.cnf" "HOME=$HOME_DIR" || true
  install -m 0644 "$CLUSTER_DIR/mariadb/accounting.sql" "$dir/accounting.sql"
  if [ ! -e "$dir/data/.complete" ]; then
    rm -rf "$dir/data"
    clean_env mariadb-install-db --no-defaults --user=slurm --datadir="$dir/data" \
      --skip-test-db > "$dir/install.log" 2>&1 || die "see $dir/install.log"
    touch "$dir/data/.complete"
  fi
  rm -f "$dir/mariadb.sock"
  clean_env setsid --fork mariadbd --defaults-file="$dir/my.cnf" </dev/null >/dev/null 2>&1
  wait_for 120 answers || die "the database does not answer (see $dir/mariadb.log)"
}
answers() { runuser -u slurm -- mariadb --no-defaults --socket="$dir/mariadb.sock" -e 'USE slurm_acct_db'; }

down() { stop "$pidfile" mariadbd; }
status() { report mariadbd "$pidfile" mariadbd; }

command_of "$@"
