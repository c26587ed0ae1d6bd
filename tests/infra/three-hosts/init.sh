#!/usr/bin/env bash
# init.sh HOST: the first process of a host, in namespaces of its own. Gives it its files and devices,
# starts its services, and then only collects orphans.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
unset SLURM_CONF

files() {
  local own=$SITE/hosts/$host root=$SITE/hosts/$host/root controller
  mount --make-rprivate /
  mkdir -p "$own/changes" "$own/work" "$root"
  mount -t overlay -o "lowerdir=$BASE,upperdir=$own/changes,workdir=$own/work" overlay "$root"
  mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
  mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
  mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/run"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
  if [ -n "$(cgroups)" ]; then
    mount -t tmpfs -o mode=0755 tmpfs "$root/sys/fs/cgroup"
    for controller in $(cgroups); do
      mkdir "$root/sys/fs/cgroup/$controller"
      mount -t cgroup -o "$controller" cgroup "$root/sys/fs/cgroup/$controller"
    done
  fi
  devices "$root/dev"
  mkdir -p "$root$SHARED"
  mount --bind "$SHARED" "$root$SHARED"
  cp -r "$SITE/etc/." "$root/etc/"
  install -D -m 755 -t "$root/usr/local/lib/pywps-hpc" \
    "$CHECKOUT"/pywps_hpc/dispatch/channels/{forced_command.py,slurm.rules}
  cp "$CLUSTER_DIR/mariadb/accounting.sql" "$root/etc/slurm/"
  mkdir -p "$root/.machine"
  cd "$root"
  pivot_root . .machine
  umount --lazy /.machine
}

devices() {
  local name mode major minor
  mount -t tmpfs -o mode=0755,nosuid tmpfs "$1"
  while read -r name mode major minor; do
    mknod -m "$mode" "$1/$name" c "$major" "$minor"
  done <<< "null 666 1 3
zero 666 1 5
full 666 1 7
random 666 1 8
urandom 666 1 9
tty 666 5 0
fuse 666 10 229"
  mkdir "$1/pts" "$1/shm"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$1/pts"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$1/shm"
  ln -s pts/ptmx "$1/ptmx"
  ln -s /proc/self/fd "$1/fd"
  for name in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${name%:*}" "$1/${name#*:}"; done
}

# The same people, by number, as on this machine: they own files in the shared folder.
users() {
  local name number
  while read -r name number; do
    # '*' means no password; with useradd's default '!' sshd would call the account locked.
    id "$name" >/dev/null 2>&1 ||
      useradd --create-home --shell /bin/bash --uid "$number" --password '*' "$name"
  done < /etc/pywps-hpc-users
}

on_login() {
  mkdir -p /run/sshd
  /usr/sbin/sshd
  install -d -o slurm -g slurm /run/mysqld
  if [ ! -e /var/lib/mysql/.complete ]; then
    rm -rf /var/lib/mysql
    install -d -o slurm -g slurm /var/lib/mysql
    mariadb-install-db --no-defaults --user=slurm --datadir=/var/lib/mysql --skip-test-db >/dev/null
    touch /var/lib/mysql/.complete
  fi
  mariadbd --no-defaults --user=slurm --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock \
    --init-file=/etc/slurm/accounting.sql --skip-networking --innodb-buffer-pool-size=64M \
    --innodb-log-file-size=16M --innodb-flush-log-at-trx-commit=0 >/var/log/slurm/mariadb.log 2>&1 &
  wait_for 120 runuser -u slurm -- mariadb --no-defaults --socket=/run/mysqld/mysqld.sock \
    -e 'USE slurm_acct_db'
  chown slurm:slurm /etc/slurm/slurmdbd.conf
  chmod 600 /etc/slurm/slurmdbd.conf
  slurmdbd
  wait_for 120 sacctmgr --noheader show cluster
  accounts
  slurmctld
}

# Before slurmctld starts, so that it knows the users from its first second.
accounts() {
  local everyone; everyone=$(cut -d' ' -f1 /etc/pywps-hpc-users | paste -sd,)
  sacctmgr --immediate add cluster pywps-hpc-three || true
  sacctmgr --immediate add account "$PYWPS_HPC_TEST_ACCOUNT" || true
  sacctmgr --immediate add user "$everyone" "account=$PYWPS_HPC_TEST_ACCOUNT" AdminLevel=None || true
}

has_address() { ip -oneline address show | grep -q "inet ${ADDRESS[$host]}/"; }

main() {
  host=$1
  files
  hostname "$host"
  users
  install -d -o munge -g munge -m 0755 /run/munge /var/log/munge /var/lib/munge
  install -d -o slurm -g slurm -m 0755 /var/log/slurm
  runuser -u munge -- munged
  wait_for 120 has_address
  if [ "$host" = login ]; then on_login; else slurmd; fi
  touch /run/ready
  # A shell as first process collects whatever its host's daemons leave behind.
  while :; do sleep 3600 & wait $!; done
}

# In a function, since the file itself is out of reach after the change of roots.
main "$@"
