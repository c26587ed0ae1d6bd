#!/usr/bin/env bash
# host.sh start|stop|status HOST: one host of the three. `stop` is a power failure: everything on it
# ends at once; its disk is still there at the next `start`.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
host=${2:?which host?}
[ -n "${ADDRESS[$host]:-}" ] || die "no host is called $host"

start() {
  is_up "$host" || boot
  if [ "$host" = login ]; then
    login_network
    # Their cables hung on login.
    for other in c1 c2; do ! is_up "$other" || connect "$other"; done
  else
    connect "$host"
  fi
  wait_for 240 in_host "$host" test -e /run/ready || die "$host does not come up (see $SITE/log)"
  [ "$host" != login ] || forward
}

# The recorded process is the one that holds the namespaces; if it ends, so does its child, the first
# process of the host, and with that all the others.
boot() {
  local controller group
  mkdir -p "$SITE/run" "$SITE/log" "$SITE/hosts/$host"
  (
    for controller in $(cgroups); do
      group=$(cgroup_of "$controller" "$host")
      mkdir -p "$group"
      if [ "$controller" = cpuset ]; then
        cat /sys/fs/cgroup/cpuset/cpuset.cpus > "$group/cpuset.cpus"
        cat /sys/fs/cgroup/cpuset/cpuset.mems > "$group/cpuset.mems"
        echo 1 > "$group/cgroup.clone_children"
      fi
      echo "$BASHPID" > "$group/cgroup.procs"
    done
    # shellcheck disable=SC2016  # the inner shell's
    clean_env setsid --fork sh -c 'echo $$ > "$1"; shift; exec "$@"' sh "$(pidfile "$host")" \
      unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child \
      "$HOSTS_DIR/init.sh" "$host" </dev/null > "$SITE/log/$host.log" 2>&1
  )
  wait_for 60 first_process "$host" || die "$host does not start (see $SITE/log/$host.log)"
}

# Login carries the switch of the network.
login_network() {
  in_network login ip link show br0 >/dev/null 2>&1 && return
  in_network login ip link add br0 type bridge
  give_address login br0
}

# connect NODE: a cable between the node and the switch. One that led to a host that was switched off
# disappears with it, a little later.
connect() {
  in_network login ip link show "$1" >/dev/null 2>&1 && in_network "$1" ip link show eth0 >/dev/null 2>&1 &&
    return
  in_network login ip link delete "$1" >/dev/null 2>&1 || true
  wait_for 60 in_network login ip link add "$1" type veth peer name eth0 netns "$(first_process "$1")" ||
    die "cannot connect $1 with login"
  in_network login ip link set "$1" master br0 up
  give_address "$1" eth0
}

give_address() {
  in_network "$1" ip link set lo up
  in_network "$1" ip address add "${ADDRESS[$1]}/24" dev "$2"
  in_network "$1" ip link set "$2" up
}
in_network() { local pid; pid=$(first_process "$1") || return 1; shift; nsenter --target "$pid" --net "$@"; }

# From 127.0.0.1 of this machine to login's SSH server, anew with each login host.
forward() {
  local pid; pid=$(first_process login)
  [ "$(cat "$SITE/run/forward.for" 2>/dev/null)" = "$pid" ] && alive "$(pidfile forward)" "$PYTHON" && return
  stop "$(pidfile forward)" "$PYTHON"
  # shellcheck disable=SC2016  # the inner shell's
  clean_env setsid --fork sh -c 'echo $$ > "$1"; shift; exec "$@"' sh "$(pidfile forward)" \
    /usr/bin/python3 -I "$HOSTS_DIR/forward.py" "$SSH_PORT" "$pid" "${ADDRESS[login]}" 22 \
    </dev/null > "$SITE/log/forward.log" 2>&1
  echo "$pid" > "$SITE/run/forward.for"
  wait_for 60 listens || die "nothing listens on port $SSH_PORT (see $SITE/log/forward.log)"
}
listens() { (: < "/dev/tcp/127.0.0.1/$SSH_PORT"); }

switch_off() {
  if is_up "$host"; then
    kill -KILL "$(first_process "$host")"
    wait_for 60 gone "$(pidfile "$host")" unshare || die "$host does not go down"
  fi
  rm -f "$(pidfile "$host")"
  [ "$host" != login ] || stop "$(pidfile forward)" "$PYTHON"
}

case "${1:-}" in
  start) start ;;
  stop) switch_off ;;
  status) report "$host" "$(pidfile "$host")" unshare ;;
  *) echo "usage: ${0##*/} start|stop|status HOST" >&2; exit 2 ;;
esac
