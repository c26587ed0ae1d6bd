# shellcheck shell=bash
# Where the test cluster lives and what a shell needs to use it. Source it; `up.sh` also leaves the
# resolved values in $PYWPS_HPC_TEST_HOME/env as plain KEY=VALUE lines for readers that are not shells.

export PYWPS_HPC_TEST_HOME="${PYWPS_HPC_TEST_HOME:-/var/tmp/pywps-hpc}"
export PYWPS_HPC_TEST_USER=wps
export PYWPS_HPC_TEST_OTHER_USER=wps-other
export PYWPS_HPC_TEST_ACCOUNT=climate
export PYWPS_HPC_TEST_SHARED="$PYWPS_HPC_TEST_HOME/shared"
export PYWPS_HPC_TEST_VENV="$PYWPS_HPC_TEST_HOME/venv"
export PYWPS_HPC_TEST_IMAGE="$PYWPS_HPC_TEST_HOME/images/test.sif"
export SLURM_CONF="$PYWPS_HPC_TEST_HOME/slurm/slurm.conf"

case ":$PATH:" in
  *":$PYWPS_HPC_TEST_HOME/apptainer/bin:"*) ;;
  *) export PATH="$PYWPS_HPC_TEST_HOME/apptainer/bin:$PATH" ;;
esac
# Daemons live in sbin, which a plain user's PATH may lack.
case ":$PATH:" in
  *:/usr/sbin:*) ;;
  *) export PATH="$PATH:/usr/sbin:/sbin" ;;
esac
