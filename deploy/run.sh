#!/usr/bin/env bash
# `make deployments`: the files of this folder and the commands of the pages with the real programs, as
# root on Debian; the tests that docs/deploy/index.md names for each page, and a table of them at the end.
# Installs what is missing, starts no service of the machine's own, and leaves nothing running.
# Arguments go to pytest; with file names among them, these alone are run.
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
tests/infra/packages.sh nginx-light apache2-bin libapache2-mod-wsgi-py3 libapache2-mod-auth-openidc \
    logrotate postgresql rsync openssl podman buildah docker-compose systemd debootstrap
case " $* " in
*.py*) tests=() ;;
*) mapfile -t tests < <(grep -oE '(deploy/)?tests/[a-z_/]+\.py' docs/deploy/index.md | sort -u) ;;
esac
export PYWPS_HPC_CLUSTER=1 # tests/conftest.py
"$PYWPS_HPC_TEST_VENV/bin/python" -m pytest -p no:cacheprovider "${tests[@]}" "$@"
