#!/usr/bin/env bash
# Brings the whole test cluster up, from whatever state: packages, users, Apptainer, the service's
# environment, the jobs' image, daemons. Safe to run twice; takes a moment when all stands.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
mkdir -p "$HOME_DIR"
chmod 755 "$HOME_DIR"
take_lock cluster

"$CLUSTER_DIR/packages.sh"
"$CLUSTER_DIR/users.sh"
"$CLUSTER_DIR/apptainer.sh"
# What takes long and may fail comes before anything runs that would have to be stopped again.
"$CLUSTER_DIR/image.sh"
"$CLUSTER_DIR/munge.sh" up
"$CLUSTER_DIR/mariadb.sh" up
"$CLUSTER_DIR/slurm.sh" up

# The settings for readers that are not shells.
{
  env | grep -E '^(PYWPS_HPC_TEST_(HOME|USER|OTHER_USER|ACCOUNT|SHARED|VENV|IMAGE)|SLURM_CONF)='
  echo "PATH=$HOME_DIR/apptainer/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
} > "$HOME_DIR/env"
say "the test cluster is up ($HOME_DIR)"
