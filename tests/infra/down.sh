#!/usr/bin/env bash
# Stops everything that up.sh started and leaves the files, so that the next `up` is quick. Removing
# the folder afterwards removes every trace but the Debian packages and the users.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
[ -d "$HOME_DIR" ] || exit 0
take_lock cluster

"$CLUSTER_DIR/slurm.sh" down
"$CLUSTER_DIR/mariadb.sh" down
"$CLUSTER_DIR/munge.sh" down
! mountpoint -q "$PYWPS_HPC_TEST_SHARED" || umount -l "$PYWPS_HPC_TEST_SHARED"
say "the test cluster is down"
