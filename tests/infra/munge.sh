#!/usr/bin/env bash
# munge.sh up|down|status: the daemon by which Slurm's programs know each other's users. Key and socket
# are the test cluster's own.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
dir=$HOME_DIR/munge
pidfile=$dir/munged.pid

up() {
  alive "$pidfile" munged && return
  install -d -o munge -g munge -m 0755 "$dir"
  if [ ! -s "$dir/munge.key" ]; then
    # Closed before it is filled, since whoever reads it can speak as anyone.
    install -o munge -g munge -m 0600 /dev/null "$dir/munge.key"
    head -c 128 /dev/urandom > "$dir/munge.key"
  fi
  clean_env runuser -u munge -- munged --key-file="$dir/munge.key" \
    --socket="$dir/munge.socket" --pid-file="$pidfile" --log-file="$dir/munged.log" \
    --seed-file="$dir/munged.seed"
  munge --socket="$dir/munge.socket" --no-input | unmunge --socket="$dir/munge.socket" >/dev/null
}

down() { stop "$pidfile" munged; }
status() { report munged "$pidfile" munged; }

command_of "$@"
