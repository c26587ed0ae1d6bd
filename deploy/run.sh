#!/usr/bin/env bash
# `make deployments`: the files of this folder with the real programs, as root on Debian. Installs what
# is missing, starts no service of the machine's own, and leaves nothing running. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
    echo "make deployments: as root on Debian only, since it installs nginx, Apache and PostgreSQL" >&2
    exit 1
fi
# shellcheck source=tests/infra/env.sh
. tests/infra/env.sh
tests/infra/packages.sh nginx-light apache2-bin libapache2-mod-wsgi-py3 logrotate postgresql rsync \
    openssl
getent passwd "$PYWPS_HPC_TEST_USER" >/dev/null ||
    useradd --create-home --shell /bin/bash --password '*' "$PYWPS_HPC_TEST_USER"
tests/infra/venv.sh
"$PYWPS_HPC_TEST_VENV/bin/python" -m pytest deploy/tests "$@"
deploy/pythons.sh
