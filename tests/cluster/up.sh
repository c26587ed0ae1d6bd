#!/usr/bin/env bash
# Brings the whole test cluster up, from whatever state: packages, users, Apptainer, daemons.
# Safe to run twice; takes a moment when all stands.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
mkdir -p "$HOME_DIR"
chmod 755 "$HOME_DIR"
take_lock cluster

"$CLUSTER_DIR/packages.sh"
"$CLUSTER_DIR/users.sh"
"$CLUSTER_DIR/apptainer.sh"
"$CLUSTER_DIR/munge.sh" up
"$CLUSTER_DIR/mariadb.sh" up
"$CLUSTER_DIR/slurm.sh" up

env | grep -E '^(PYWPS_HPC_TEST_[A-Z]+(_[A-Z]+)*|SLURM_CONF|PATH)=' | grep -v '^PYWPS_HPC_TEST_T0=' |
  sort > "$HOME_DIR/env"
say "the test cluster is up ($HOME_DIR)"
