#!/usr/bin/env bash
# gridengine.sh up|down|status, or start|stop of one daemon (sge_qmaster, sge_execd, sge_execd@n2) for
# tests that break something. A cell of its own, with its own ports, beside whatever the machine runs,
# and beside Slurm. What its users need in their environment stands in $PYWPS_HPC_TEST_HOME/gridengine/env.
# The cell's second execution host, n2, has a name, a network and a /tmp of its own; it takes jobs of
# the parallel environment "mpi" only, one slot a host.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
dir=$HOME_DIR/gridengine
host=$(hostname -s)
second=n2
# Between the two hosts only (RFC 5737 keeps these addresses for examples).
declare -A address=([host]=198.51.100.1 [second]=198.51.100.2)
network=pywps-hpc-$second
daemons=("sge_execd@$second" sge_execd sge_qmaster)
packages=(gridengine-master gridengine-exec gridengine-client gridengine-drmaa1.0)

export SGE_ROOT=$dir/root SGE_CELL=default SGE_QMASTER_PORT=26844 SGE_EXECD_PORT=26845
export SGE_SINGLE_LINE=1 # qconf: one setting a line, however long
cell=$SGE_ROOT/$SGE_CELL/common
settings=("SGE_ROOT=$SGE_ROOT" "SGE_CELL=$SGE_CELL" "SGE_QMASTER_PORT=$SGE_QMASTER_PORT"
  "SGE_EXECD_PORT=$SGE_EXECD_PORT")

# Fault tests name a daemon; each has a pid file, which it writes itself.
pidfile() {
  case "$1" in
    sge_qmaster) echo "$dir/spool/qmaster/qmaster.pid" ;;
    sge_execd) echo "$dir/spool/execd/execd.pid" ;;
    sge_execd@$second) echo "$dir/spool/execd/$second.pid" ;;
    *) die "no daemon is called $1" ;;
  esac
}
# It answers before it has written its pid file.
master_answers() { qconf -sh && running sge_qmaster; }
running() { alive "$(pidfile "$1")" "${1%@*}"; }

start() {
  running "$1" && return
  rm -f "$(pidfile "$1")" # of an earlier boot
  case "$1" in
    sge_qmaster)
      clean_env "${settings[@]}" "$CLUSTER_DIR/gridengine/hosts.sh" "$dir/hosts" sge_qmaster >/dev/null
      wait_for 120 master_answers || die "sge_qmaster does not answer (see $dir/spool/qmaster/messages)"
      ;;
    sge_execd)
      running sge_qmaster || die "sge_execd needs sge_qmaster"
      clean_env "${settings[@]}" "SGE_EXECD_PIDFILE=$(pidfile sge_execd)" \
        "$CLUSTER_DIR/gridengine/hosts.sh" "$dir/hosts" "$CLUSTER_DIR/fuse.sh" sge_execd
      wait_for 120 running sge_execd || die "sge_execd does not run (see $dir/spool)"
      ;;
    sge_execd@$second)
      running sge_qmaster || die "sge_execd needs sge_qmaster"
      connect
      clean_env "${settings[@]}" "SGE_EXECD_PIDFILE=$(pidfile "$1")" \
        nsenter "--net=/run/netns/$network" "$CLUSTER_DIR/gridengine/hosts.sh" "$dir/hosts.$second" \
        "$CLUSTER_DIR/gridengine/second.sh" "$second" "$CLUSTER_DIR/fuse.sh" sge_execd
      wait_for 120 running "$1" || die "sge_execd does not run on $second (see $dir/spool)"
      ;;
    *) die "no daemon is called $1" ;;
  esac
}

# A cable between the two hosts.
connect() {
  [ -e "/run/netns/$network" ] || ip netns add "$network"
  ip link show "$network" >/dev/null 2>&1 && return
  ip link add "$network" type veth peer name eth0 netns "$network"
  ip address add "${address[host]}/30" dev "$network"
  ip link set "$network" up
  ip -n "$network" address add "${address[second]}/30" dev eth0
  ip -n "$network" link set eth0 up
  ip -n "$network" link set lo up
}
disconnect() {
  ip link delete "$network" 2>/dev/null || true
  ip netns delete "$network" 2>/dev/null || true
}

# Who is who, for the daemons and their jobs alone: the machine's own file stays as it is.
names() {
  local both; both="${address[host]} $host"$'\n'"${address[second]} $second"
  { cat /etc/hosts; echo "$both"; } > "$dir/hosts"
  { echo "127.0.0.1 localhost"; echo "$both"; } > "$dir/hosts.$second"
}
# Whether the running qmaster was started with them.
knows_names() { grep -qsw "$second" "/proc/$(<"$(pidfile sge_qmaster)")/root/etc/hosts"; }
with_names() { "$CLUSTER_DIR/gridengine/hosts.sh" "$dir/hosts" "$@"; }

# An empty cell. Debian's own, under /var/lib, stays unused: the same programs, another folder.
initialize() {
  [ -e "$dir/spool/.complete" ] && [ "$(<"$cell/act_qmaster")" = "$host" ] && return
  stop_daemons
  rm -rf "$dir/spool" "$SGE_ROOT"
  install -d -o sgeadmin -g sgeadmin "$SGE_ROOT" "$SGE_ROOT/$SGE_CELL" "$cell" \
    "$dir"/spool/{,database,qmaster,execd}
  ln -s /var/lib/gridengine/{bin,lib,util,utilbin} "$SGE_ROOT"
  fill "$CLUSTER_DIR/gridengine/bootstrap.in" "$cell/bootstrap" "DIR=$dir"
  echo "$host" > "$cell/act_qmaster"
  # The loopback address resolves to "localhost": the same host, as Grid Engine must be told.
  echo "$host localhost" > "$cell/host_aliases"
  chown sgeadmin "$cell/act_qmaster" # which the qmaster writes anew
  local stock=/usr/share/gridengine
  {
    # Only from an administrative host may users suspend their own jobs.
    spooling spoolinit berkeleydb libspoolb "$dir/spool/database" init &&
      spooling spooldefaults configuration $stock/default-configuration &&
      spooling spooldefaults complexes $stock/util/resources/centry &&
      spooling spooldefaults usersets $stock/util/resources/usersets &&
      spooling spooldefaults managers root sgeadmin &&
      spooling spooldefaults adminhosts "$host"
  } > "$dir/initialize.log" 2>&1 || die "cannot initialize the cell (see $dir/initialize.log)"
  touch "$dir/spool/.complete"
}
spooling() { local program=$1; shift; runuser -u sgeadmin -- "/usr/lib/gridengine/$program" "$@"; }

# The running qmaster is told what the templates say.
configure() {
  local name changed=no
  for name in host environment queue settings scheduler; do
    fill "$CLUSTER_DIR/gridengine/$name.in" "$dir/config/$name" "HOST=$host" "DIR=$dir" && changed=yes
  done
  fill "$CLUSTER_DIR/gridengine/host.in" "$dir/config/host-$second" "HOST=$second" && changed=yes
  fill "$CLUSTER_DIR/gridengine/settings-second.in" "$dir/config/$second" && changed=yes
  for name in environment queue; do
    fill "$CLUSTER_DIR/gridengine/$name-mpi.in" "$dir/config/$name-mpi" "HOST=$host" "SECOND=$second" \
      "DIR=$dir" && changed=yes
  done
  fill "$CLUSTER_DIR/gridengine/starter.sh.in" "$dir/starter.sh" "HOME=$HOME_DIR" || true
  chmod 755 "$dir/starter.sh"
  [ $changed = no ] && [ -e "$dir/spool/.configured-2" ] && return
  rm -f "$dir/spool/.configured-2"
  {
    { qconf -ss || qconf -as "$host"; } && add_or_change e "$dir/config/host" &&
      add_or_change p "$dir/config/environment" &&
      { qconf -sh | grep -qx "$second" || with_names qconf -ah "$second"; } &&
      add_or_change e "$dir/config/host-$second" &&
      add_or_change conf "$dir/config/$second" &&
      add_or_change p "$dir/config/environment-mpi" &&
      qconf -sq | overlay queue > "$dir/config/all.q" && add_or_change q "$dir/config/all.q" &&
      qconf -sq | overlay queue-mpi > "$dir/config/mpi.q" && add_or_change q "$dir/config/mpi.q" &&
      # The file's name is the name of the configuration: that of all hosts.
      qconf -sconf | overlay settings > "$dir/config/global" && qconf -Mconf "$dir/config/global" &&
      qconf -ssconf | overlay scheduler > "$dir/config/schedd" && qconf -Msconf "$dir/config/schedd"
  } > "$dir/configure.log" 2>&1 || die "Grid Engine refuses its settings (see $dir/configure.log)"
  touch "$dir/spool/.configured-2"
}
add_or_change() { with_names qconf "-A$1" "$2" || with_names qconf "-M$1" "$2"; }
# Standard input with the template's lines in place of those of the same name.
overlay() { awk 'NR == FNR { ours[$1] = $0; next } $1 in ours { $0 = ours[$1] } 1' "$dir/config/$1" -; }

up() {
  "$CLUSTER_DIR/packages.sh" "${packages[@]}"
  mkdir -p "$dir/config"
  initialize
  names
  ! running sge_qmaster || knows_names || stop_daemons
  start sge_qmaster
  configure
  start sge_execd
  start "sge_execd@$second"
  wait_for 120 ready || { qstat -f; die "the queue does not come up (see $dir/spool)"; }
  printf '%s\n' "${settings[@]}" > "$dir/env"
}

# The last column shows states such as "au": the host has not reported.
ready() {
  local queue
  for queue in "all.q@$host" "mpi.q@$host" "mpi.q@$second"; do
    qstat -f | grep -qE "^$queue .* lx-[a-z0-9]+ *$" || return 1
  done
}

down() {
  if running sge_qmaster && running sge_execd; then
    # Ended by Grid Engine itself, jobs leave their true end in the accounting.
    qdel -u '*' >/dev/null || true
    wait_for 15 no_jobs || true
  fi
  stop_daemons
}
no_jobs() { [ -z "$(qstat -u '*')" ]; }

stop_daemons() {
  local daemon
  for daemon in "${daemons[@]}"; do stop "$(pidfile "$daemon")" "${daemon%@*}"; done
  disconnect
}

status() {
  local daemon rc=0
  for daemon in "${daemons[@]}"; do
    report "$daemon" "$(pidfile "$daemon")" "${daemon%@*}" || rc=1
  done
  return $rc
}

case "${1:-}" in
  start) start "${2:?which daemon?}" ;;
  stop) stop "$(pidfile "${2:?which daemon?}")" "${2%@*}" ;;
  *) command_of "$@" ;;
esac
