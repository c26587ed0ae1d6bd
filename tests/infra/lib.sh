# shellcheck shell=bash
# What every script here shares: its settings, messages, and starting and stopping daemons by
# recorded process id.

set -euo pipefail
CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=env.sh
. "$CLUSTER_DIR/env.sh"
# shellcheck disable=SC2034  # the scripts that source this use it
CHECKOUT=$(cd "$CLUSTER_DIR/../.." && pwd)
HOME_DIR=$PYWPS_HPC_TEST_HOME
# What root makes here is for plain users to read.
umask 022

say() { printf '[%5.1f s] %s\n' "$(elapsed)" "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "must be run as root"; }

# Seconds since the first script of this run started, so that nested scripts share one clock.
export PYWPS_HPC_TEST_T0="${PYWPS_HPC_TEST_T0:-$EPOCHREALTIME}"
elapsed() { awk -v a="$PYWPS_HPC_TEST_T0" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'; }

# wait_for SECONDS COMMAND...: until the command succeeds. A clock and not a count of tries, since a
# question to a daemon that is down may itself take long.
wait_for() {
  local end=$((SECONDS + $1)); shift
  while ! "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
}

# fill TEMPLATE TARGET KEY=VALUE...: replaces @KEY@. Leaves an equal target untouched, and answers
# (return code 0) whether the target changed.
fill() {
  local template=$1 target=$2 text pair; shift 2
  text=$(<"$template")
  for pair in "$@"; do text=${text//"@${pair%%=*}@"/"${pair#*=}"}; done
  [ -e "$target" ] && [ "$text" = "$(<"$target")" ] && return 1
  printf '%s\n' "$text" > "$target"
}

# digest FILE...: one hash of the contents and names of these files, and of those in these folders.
digest() {
  find "$@" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
}

# Every daemon is started in this clean environment. The first variable is also its mark: a process
# id in a file left by an earlier boot, or by another cluster on this machine, lacks it.
clean_env() {
  env -i -C / "PYWPS_HPC_TEST_HOME=$HOME_DIR" "SLURM_CONF=$SLURM_CONF" LANG=C \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" 9>&-
}

# alive PIDFILE NAME: is the recorded process this cluster's NAME?
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && ours "$pid" "$2"
}

# ours PID NAME: a zombie has no /proc/PID/exe (nobody may reap here), a recycled id has another one,
# and Debian adds -wlm to the names of Slurm's programs.
ours() {
  local exe
  [[ $1 =~ ^[0-9]+$ ]] && exe=$(readlink "/proc/$1/exe" 2>/dev/null) || return 1
  exe=${exe% (deleted)}
  case "${exe##*/}" in "$2" | "$2-wlm") ;; *) return 1 ;; esac
  grep -qzxF "PYWPS_HPC_TEST_HOME=$HOME_DIR" "/proc/$1/environ" 2>/dev/null
}

# stop PIDFILE NAME: asks, waits half a minute, then insists. A stranger's process is never touched. A
# daemon removes its file before it has ended, and may hang between the two: the process counts.
stop() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  ours "$pid" "$2" || { rm -f "$1"; return 0; }
  kill "$pid"
  wait_for 30 gone "$pid" "$2" || { kill -KILL "$pid"; wait_for 30 gone "$pid" "$2"; }
  rm -f "$1"
}
gone() { ! ours "$@"; }

# The Debian mirror this machine itself uses, asked of apt, which reads both formats of its sources.
# The codename is known only after an update, the release always, but it may be written "stable".
apt_mirror() {
  # shellcheck disable=SC2016  # apt fills these in, not the shell
  apt-get indextargets --format '$(CODENAME),$(RELEASE),$(COMPONENT),$(REPO_URI)' \
    'Created-By: Packages' |
    awk -F, -v suite="$(suite)" '($1 == suite || $2 == suite) && $3 == "main" {
      sub("/$", "", $4); print $4; exit }'
}
suite() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

# report LABEL PIDFILE NAME: one line for `status`, which fails when something is down.
report() {
  if ! alive "$2" "$3"; then
    printf '%-10s down\n' "$1"
    return 1
  fi
  printf '%-10s up, pid %s\n' "$1" "$(<"$2")"
}

# The last line of a service's script: up, down or status, each a function of its own.
command_of() {
  case "${1:-}" in
    up | down | status) "$1" ;;
    *) echo "usage: ${0##*/} up|down|status" >&2; exit 2 ;;
  esac
}

# take_lock NAME: one script at a time changes a thing. Daemons must not inherit the lock, hence the
# 9>&- of clean_env.
take_lock() {
  exec 9> "$HOME_DIR/.$1.lock"
  flock 9
}
