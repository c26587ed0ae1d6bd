#!/usr/bin/env bash
# Brings the three hosts up, from whatever state: packages, root file system, keys, hosts. Safe to run
# twice; takes a moment when all stands. Nothing else needs them: `make test` as root starts them for
# the tests that are about them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
mkdir -p "$SITE"
chmod 755 "$HOME_DIR" "$SITE"
take_lock three-hosts

"$CLUSTER_DIR/packages.sh" iproute2 mmdebstrap openssh-client python3
"$CLUSTER_DIR/users.sh"
"$HOSTS_DIR/base.sh"
install -d -m 1777 "$SHARED"

# keys: `id` may run anything on login, `id_service` only what the forced command allows (docs/ssh.md).
keys() {
  local user=$PYWPS_HPC_TEST_USER key public forced
  install -d -m 755 "$SITE/ssh" "$SITE/etc/ssh"
  forced='restrict,command="/usr/bin/python3 -I /usr/local/lib/pywps-hpc/forced_command.py slurm"'
  for key in id id_service; do
    [ -s "$SITE/ssh/$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$key" -f "$SITE/ssh/$key"
    chown "$user" "$SITE/ssh/$key"
  done
  {
    echo "restrict $(<"$SITE/ssh/id.pub")"
    echo "$forced $(<"$SITE/ssh/id_service.pub")"
  } > "$SITE/etc/ssh/authorized_keys.$user"
  public=$(cut -d' ' -f1,2 "$BASE/etc/ssh/ssh_host_ed25519_key.pub")
  echo "[127.0.0.1]:$SSH_PORT $public" > "$SITE/ssh/known_hosts"
}

# What every host gets into its /etc.
configuration() {
  local host user limits
  mkdir -p "$SITE/etc/slurm"
  {
    echo "127.0.0.1 localhost"
    for host in "${HOSTS[@]}"; do echo "${ADDRESS[$host]} $host"; done
  } > "$SITE/etc/hosts"
  : > "$SITE/etc/resolv.conf" # there is nobody to ask
  for user in "$PYWPS_HPC_TEST_USER" "$PYWPS_HPC_TEST_OTHER_USER"; do
    echo "$user $(id -u "$user")"
  done > "$SITE/etc/pywps-hpc-users"
  if [ -n "$(cgroups)" ]; then
    limits=$'ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup\nJobAcctGatherType=jobacct_gather/cgroup'
  else
    limits=$'ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none'
    limits+=$'\nJobAcctGatherType=jobacct_gather/linux\nJobAcctGatherParams=OverMemoryKill'
  fi
  fill "$HOSTS_DIR/etc/slurm.conf.in" "$SITE/etc/slurm/slurm.conf" "LOGIN=${ADDRESS[login]}" \
    "C1=${ADDRESS[c1]}" "C2=${ADDRESS[c2]}" "MEMORY=$NODE_MEMORY" "LIMITS=$limits" || true
  fill "$HOSTS_DIR/etc/slurmdbd.conf.in" "$SITE/etc/slurm/slurmdbd.conf" "LOGIN=${ADDRESS[login]}" || true
  cp "$HOSTS_DIR/etc/cgroup.conf" "$SITE/etc/slurm/"
  cp "$HOSTS_DIR/etc/sshd_config" "$SITE/etc/ssh/"
}

# Every node answers, whatever it is doing.
ready() {
  local states; states=$(in_host login sinfo --noheader --Node --format=%T --partition=batch) || return 1
  [ "$(wc -l <<< "$states")" = 2 ] && ! grep -qvxE 'idle|mixed|allocated|completing' <<< "$states"
}

keys
configuration
for host in "${HOSTS[@]}"; do "$HOSTS_DIR/host.sh" start "$host"; done
wait_for 180 ready || { in_host login sinfo -N -l; die "the nodes do not come up (see $SITE/log)"; }
say "the three hosts are up: ssh -p $SSH_PORT $PYWPS_HPC_TEST_USER@127.0.0.1, or $HOSTS_DIR/on login"
