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

start() {
  running "$1" && return
  case "$1" in
    slurmdbd) clean_env "MYSQL_UNIX_PORT=$HOME_DIR/mariadb/mariadb.sock" slurmdbd ;;
    slurmctld) clean_env slurmctld -f "$SLURM_CONF" ;;
    c?) clean_env "$CLUSTER_DIR/fuse.sh" slurmd -f "$SLURM_CONF" -N "$1" ;;
    *) die "no daemon is called $1" ;;
  esac
}

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
    "LIMITS=$limits" && changed=yes
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
  wait_for 30 sacctmgr --noheader show cluster || die "slurmdbd does not answer (see $dir/log)"
  add_accounts
  start slurmctld
  for node in "${nodes[@]}"; do start "$node"; done
  wait_for 30 ready || { sinfo -N -l; die "the nodes do not come up (see $dir/log)"; }
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

# Every node answers, whatever it is doing. A star behind the state means that it does not.
ready() {
  local states; states=$(sinfo --noheader --Node --format=%T --partition=batch) || return 1
  [ "$(wc -l <<< "$states")" = ${#nodes[@]} ] && ! grep -qvxE 'idle|mixed|allocated|completing' <<< "$states"
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

# Steps outlive their slurmd. The kernel has recorded their processes in the cgroups of our nodes.
end_stragglers() {
  local node controller
  for node in "${nodes[@]}"; do
    cgroup_pids "$node" | xargs -r kill -KILL || true
    wait_for 5 no_cgroup_pids "$node"
    for controller in /sys/fs/cgroup/*; do
      [ ! -d "$controller/slurm_$node" ] || find "$controller/slurm_$node" -depth -type d -exec rmdir {} +
    done
  done
}
cgroup_pids() { find "/sys/fs/cgroup/freezer/slurm_$1" -name cgroup.procs -exec cat {} + 2>/dev/null; }
no_cgroup_pids() { [ -z "$(cgroup_pids "$1")" ]; }

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
