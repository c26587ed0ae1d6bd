# shellcheck shell=bash
# shellcheck disable=SC2034  # the scripts that source this use them
# The second form of the test cluster: three hosts. login, c1 and c2 have each their own files,
# processes, name and network; one folder is shared, as on a real cluster. What the scripts here
# share, beside the settings and helpers of the one-host form.

# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
HOSTS_DIR=$CLUSTER_DIR/three-hosts
SITE=$HOME_DIR/three-hosts  # everything of ours is below
SHARED=$SITE/shared         # the one folder that all hosts see, at the same path
BASE=$SITE/base             # the root file system that all hosts start from
SSH_PORT=26822              # on 127.0.0.1 of this machine: login's SSH server

HOSTS=(login c1 c2)
# A network that exists between the three only (RFC 5737 keeps these addresses for examples).
declare -A ADDRESS=([login]=192.0.2.10 [c1]=192.0.2.11 [c2]=192.0.2.12)
PYTHON=$(basename "$(readlink -f /usr/bin/python3)") # as the system knows a running one
NODE_MEMORY=4000 # MiB that each compute node says it has

pidfile() { echo "$SITE/run/$1.pid"; }
is_up() { alive "$(pidfile "$1")" unshare; }

# The first process of a host, by its id on this machine: the only child of the recorded one.
first_process() {
  is_up "$1" || return 1
  local pid; pid=$(<"$(pidfile "$1")")
  pid=$(<"/proc/$pid/task/$pid/children")
  [ -n "$pid" ] && echo "$((pid))"
}

# in_host HOST COMMAND...: runs it there as root, in the environment of a login.
in_host() {
  local pid; pid=$(first_process "$1") || die "$1 is down"; shift
  nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup --wd=/ \
    env -i HOME=/root LANG=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# The control groups (version 1) by which Slurm holds jobs to their limits; none where there is
# version 2, which Slurm uses through systemd only.
cgroups() {
  local controller
  for controller in cpu cpuacct cpuset memory devices freezer pids; do
    [ ! -e "/sys/fs/cgroup/$controller/cgroup.procs" ] || echo "$controller"
  done
}
cgroup_of() { echo "/sys/fs/cgroup/$1/pywps-hpc-$2"; }
