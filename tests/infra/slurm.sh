#!/usr/bin/env bash
# slurm.sh up|down|status, or start|stop of one daemon (slurmdbd, slurmctld, c1, c2) for tests that
# break something. Needs munge.sh and mariadb.sh up.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
dir=$HOME_DIR/slurm
nodes=(c1 c2)
host=$(hostname -s)

# Fault tests name a daemon; each has a pid file and a program.
pidfile() { case "$1" in c?) echo "$dir/run/slurmd.$1.pid" ;; *) echo "$dir/run/$1.pid" ;; esac; }
program() { case "$1" in c?) echo slurmd ;; *) echo "$1" ;; esac; }
running() { alive "$(pidfile "$1")" "$(program "$1")"; }

# A job that was frozen when its node was killed stays in its cgroup, and freezes the next job of that
# number: ids begin anew with a new cluster. Ours are told by the folder that their script lies in.
clear_frozen() {
  local state pid
  for state in /sys/fs/cgroup/freezer/"slurm_$1"/uid_*/job_*/{,step_*/}freezer.state; do
    [ -e "$state" ] || continue
    for pid in $(cat "${state%/*}/cgroup.procs"); do
      ! tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$dir/spool.$1/" || kill -KILL "$pid"
      echo THAWED >"$state"
    done
  done
}

# A daemon goes to the background before it has written its pid file, and before it answers.
start() {
  running "$1" && return
  case "$1" in
    slurmdbd)
      clean_env "MYSQL_UNIX_PORT=$HOME_DIR/mariadb/mariadb.sock" slurmdbd
      wait_for 120 sacctmgr --noheader show cluster || die "slurmdbd does not answer (see $dir/log)"
      ;;
    slurmctld)
      clean_env slurmctld -f "$SLURM_CONF"
      wait_for 120 squeue --noheader || die "slurmctld does not answer (see $dir/log)"
      ;;
    c?)
      clear_frozen "$1"
      clean_env "$CLUSTER_DIR/fuse.sh" slurmd -f "$SLURM_CONF" -N "$1" ;;
    *) die "no daemon is called $1" ;;
  esac
  wait_for 120 running "$1" || die "$1 does not run (see $dir/log)"
}

# A number for this folder, far from those of other folders.
first_id() { echo $((16#$(sha256sum <<< "$HOME_DIR" | cut -c1-3) * 10000 + 1)); }

configure() {
  install -d -o slurm -g slurm -m 0755 "$dir" "$dir/state" "$dir/run" "$dir/log"
  local limits
  if [ -e /sys/fs/cgroup/memory/cgroup.procs ]; then
    limits=$'ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup\nJobAcctGatherType=jobacct_gather/cgroup'
  else
    # Slurm's cgroup v2 wants systemd; without either, it kills by what it sees a job use.
    limits=$'ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none'
    limits+=$'\nJobAcctGatherType=jobacct_gather/linux\nJobAcctGatherParams=OverMemoryKill'
  fi
  local changed=no
  fill "$CLUSTER_DIR/slurm/slurm.conf.in" "$SLURM_CONF" "HOST=$host" "HOME=$HOME_DIR" \
    "LIMITS=$limits" "FIRST=$(first_id)" && changed=yes
  fill "$CLUSTER_DIR/slurm/cgroup.conf.in" "$dir/cgroup.conf" && changed=yes
  fill "$CLUSTER_DIR/slurm/task-prolog.sh.in" "$dir/task-prolog.sh" "HOME=$HOME_DIR" || true
  chmod 755 "$dir/task-prolog.sh"
  # slurmdbd reads its file only if nobody else can.
  [ -e "$dir/slurmdbd.conf" ] || install -o slurm -g slurm -m 0600 /dev/null "$dir/slurmdbd.conf"
  fill "$CLUSTER_DIR/slurm/slurmdbd.conf.in" "$dir/slurmdbd.conf" "HOME=$HOME_DIR" && changed=yes
  # Daemons that run with an older configuration are started anew: jobs survive that.
  [ $changed = no ] || stop_daemons
}

up() {
  configure
  start slurmdbd
  add_accounts
  start slurmctld
  for node in "${nodes[@]}"; do start "$node"; done
  wait_for 120 ready || { sinfo -N -l; die "the nodes do not come up (see $dir/log)"; }
}

# Before slurmctld starts, so that it knows the users from its first second.
add_accounts() {
  local users=$PYWPS_HPC_TEST_USER,$PYWPS_HPC_TEST_OTHER_USER
  [ "$(sacctmgr --noheader --parsable2 show assoc "users=$users" format=user | sort -u | wc -l)" = 2 ] &&
    return
  {
    sacctmgr --immediate add cluster pywps-hpc || true
    sacctmgr --immediate add account "$PYWPS_HPC_TEST_ACCOUNT" || true
    sacctmgr --immediate add user "$users" "account=$PYWPS_HPC_TEST_ACCOUNT" AdminLevel=None
  } >/dev/null
}

# Every node answers, whatever it is doing. A star behind the state means that it does not. One that a
# test or a failed job has put out of service is taken back.
ready() {
  local states node
  for node in $(sinfo --noheader --Node --format=%N --states=drain,down | sort -u); do
    scontrol update "nodename=$node" state=resume || true
  done
  states=$(sinfo --noheader --Node --format=%T --partition=batch) || return 1
  [ "$(wc -l <<< "$states")" = ${#nodes[@]} ] &&
    ! grep -qvxE 'idle|mixed|allocated|completing|planned' <<< "$states"
}

down() {
  if running slurmctld; then
    # Ended by Slurm itself, jobs leave their true end in the accounting.
    squeue --noheader --format=%A | sort -u | xargs -r scancel
    wait_for 15 no_jobs || true
  fi
  stop_daemons
  end_stragglers
}
no_jobs() { [ -z "$(squeue --noheader)" ]; }

stop_daemons() {
  for daemon in "${nodes[@]}" slurmctld slurmdbd; do
    stop "$(pidfile "$daemon")" "$(program "$daemon")"
  done
}

# Steps outlive their slurmd, and while slurmctld is dead nobody else ends them. Each step listens on a
# socket in its node's folder, from which the kernel knows its process and that one's job.
end_stragglers() {
  local node
  for node in "${nodes[@]}"; do
    stragglers "$node" | xargs -r kill -KILL || true
    wait_for 5 no_stragglers "$node" || true
    # Emptied, the cgroups are of no use to anyone; one that another Slurm still uses refuses to go.
    find /sys/fs/cgroup/*/"slurm_$node" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}
stragglers() {
  local step group
  for step in $(ss --no-header --listening --processes --unix | grep -F " $dir/spool.$1/" |
    grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u); do
    group=$(sed -n 's/.*:freezer:.*\(\/slurm_.*\/job_[0-9]*\).*/\1/p' "/proc/$step/cgroup")
    if [ -n "$group" ]; then
      find "/sys/fs/cgroup/freezer$group" -name cgroup.procs -exec cat {} +
    else
      descendants "$step"
    fi
  done
}
descendants() {
  local child
  echo "$1"
  for child in $(pgrep --parent "$1"); do descendants "$child"; done
}
no_stragglers() { [ -z "$(stragglers "$1")" ]; }

status() {
  local rc=0
  for daemon in slurmdbd slurmctld "${nodes[@]}"; do
    report "$daemon" "$(pidfile "$daemon")" "$(program "$daemon")" || rc=1
  done
  return $rc
}

case "${1:-}" in
  start) start "${2:?which daemon?}" ;;
  stop) stop "$(pidfile "${2:?which daemon?}")" "$(program "$2")" ;;
  *) command_of "$@" ;;
esac
