#!/usr/bin/env bash
# Switches the three hosts off and forgets what they wrote to their disks; the shared folder, the keys
# and the root file system stay, so that the next `up` is quick.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
[ -d "$SITE" ] || exit 0
take_lock three-hosts

for host in c1 c2 login; do
  "$HOSTS_DIR/host.sh" stop "$host"
  for controller in $(cgroups); do
    group=$(cgroup_of "$controller" "$host")
    [ ! -d "$group" ] || wait_for 10 find "$group" -depth -type d -exec rmdir {} + ||
      die "$group is still in use"
  done
done
rm -rf --one-file-system "$SITE/hosts"
say "the three hosts are down"
