#!/usr/bin/env bash
# `make deployments`: the files of this folder and the commands of docs/install.md with the real programs,
# as root on Debian. Installs what is missing, starts no service of the machine's own, and leaves nothing
# running. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
    echo "make deployments: as root on Debian only, since it installs nginx, Apache and PostgreSQL" >&2
    exit 1
fi
# shellcheck source=tests/infra/env.sh
. tests/infra/env.sh
# A real Slurm and Apptainer; one that stands already is left standing.
scontrol ping >/dev/null 2>&1 || trap 'tests/infra/down.sh >/dev/null' EXIT
tests/infra/up.sh
tests/infra/packages.sh nginx-light apache2-bin libapache2-mod-wsgi-py3 logrotate postgresql rsync \
    openssl podman buildah docker-compose
"$PYWPS_HPC_TEST_VENV/bin/python" -m pytest deploy/tests "$@"
deploy/pythons.sh
