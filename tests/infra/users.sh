#!/usr/bin/env bash
# Makes the plain users of the test cluster: the one that the service and its jobs run as, and a
# stranger who must not see them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root

for user in "$PYWPS_HPC_TEST_USER" "$PYWPS_HPC_TEST_OTHER_USER"; do
  getent passwd "$user" >/dev/null && continue
  # '*' means no password; with useradd's default '!' sshd would call the account locked.
  useradd --create-home --shell /bin/bash --password '*' "$user"
done

# The stand-in for a cluster's shared file system. Sticky, so that users cannot touch each other's.
install -d -m 1777 "$PYWPS_HPC_TEST_SHARED"
# Mounted on itself, so that what a test mounts below it shows on the nodes, too: they may live in a
# mount namespace of their own (fuse.sh).
if ! mountpoint -q "$PYWPS_HPC_TEST_SHARED"; then
  mount --bind "$PYWPS_HPC_TEST_SHARED" "$PYWPS_HPC_TEST_SHARED"
  mount --make-shared "$PYWPS_HPC_TEST_SHARED"
fi
