#!/usr/bin/env bash
# as.sh USER COMMAND...: runs a command as a plain user, as if from a login on the cluster: a clean
# environment with the cluster's settings, and image files that can be mounted.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
user=${1:?which user?}; shift
home=$(getent passwd "$user" | cut -d: -f6)
exec env -i HOME="$home" USER="$user" LOGNAME="$user" SHELL=/bin/bash LANG=C.UTF-8 \
  PATH="$HOME_DIR/apptainer/bin:/usr/local/bin:/usr/bin:/bin" SLURM_CONF="$SLURM_CONF" \
  PYWPS_HPC_TEST_HOME="$HOME_DIR" \
  "$CLUSTER_DIR/fuse.sh" setpriv --reuid "$user" --regid "$user" --init-groups \
  sh -c 'cd; exec "$@"' sh "$@"
