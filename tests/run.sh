#!/usr/bin/env bash
# `make test`: set everything up, check the code, run the tests, leave nothing running.
#
# As root on Debian: packages, a real Slurm with two nodes, Apptainer, an image (tests/infra/).
# Elsewhere: what needs no cluster, in a virtual environment of this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
    # shellcheck source=tests/infra/env.sh
    . tests/infra/env.sh
    stop() {
        [ ! -e "$PYWPS_HPC_TEST_HOME/three-hosts" ] || tests/infra/three-hosts/down.sh
        [ ! -e "$PYWPS_HPC_TEST_HOME/gridengine" ] || tests/infra/gridengine.sh down
        tests/infra/down.sh
    }
    trap 'stop >/dev/null' EXIT
    tests/infra/up.sh
    tests/infra/gridengine.sh up
    python=$PYWPS_HPC_TEST_VENV/bin/python
    export PYWPS_HPC_CLUSTER=1
    # Most of the time is spent waiting for batch systems, the longest for Slurm; see tests/support/parallel.py.
    workers=(-n 4 --no-loadscope-reorder)
else
    echo "Not root on Debian: tests on real Slurm and Apptainer are left out."
    python3 -m venv .venv
    wanted=$(cat pyproject.toml examples/requirements*.txt | sha256sum)
    if [ "$(cat .venv/installed-test 2>/dev/null)" != "$wanted" ]; then
        .venv/bin/pip install --quiet --disable-pip-version-check --editable '.[server,docs,test]' \
            -r examples/requirements.txt -r examples/requirements-data.txt
        echo "$wanted" >.venv/installed-test
    fi
    python=.venv/bin/python
fi

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
"$(dirname "$python")/lint-imports"
failures=$(mktemp)
code=0
"$python" -m pytest "--failures=$failures" ${workers[@]+"${workers[@]}"} "$@" || code=$?
[ "$code" = 0 ] || "$python" tests/support/second_run.py "$failures" "$code"
