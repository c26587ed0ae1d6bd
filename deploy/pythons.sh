#!/usr/bin/env bash
# The project under each Python that it says it runs with, as far as this machine has them: it is
# installed with all that it depends on, and tests run: all unit tests (--all, `make test-pythons`), or
# those of its main parts; and the five-minute start.
#   deploy/pythons.sh [--all] [VERSION...]
set -euo pipefail
cd "$(dirname "$0")/.."
# The parts that depend on the interpreter most: what is serialised and loaded, and all of it at work.
tests=(tests/unit/settings tests/unit/jobs tests/unit/joblauncher tests/unit/cli)
if [ "${1:-}" = --all ]; then
    tests=(tests/unit)
    shift
fi
tests+=(tests/service/test_five_minutes.py)
versions=("$@")
[ $# -gt 0 ] || versions=(3.10 3.11 3.12 3.13)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing=() failed=()
for version in "${versions[@]}"; do
    python=
    for candidate in "/usr/bin/python$version" "/usr/local/bin/python$version" \
        "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        [ ! -x "$candidate" ] || { python=$candidate && break; }
    done
    if [ -z "$python" ]; then
        missing+=("$version")
        continue
    fi
    venv=$scratch/$version
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --use-pep517 \
        ".[server,postgresql,ssh,drmaa,image,docs,test]" -r examples/requirements.txt -r examples/requirements-data.txt
    echo "Python $("$venv/bin/python" -c 'import platform; print(platform.python_version())'):"
    "$venv/bin/python" -m pytest -q -p no:cacheprovider -n 2 "${tests[@]}" || failed+=("$version")
done
[ ${#missing[@]} = 0 ] || echo "not on this machine, so not tried: Python ${missing[*]}"
[ ${#failed[@]} = 0 ] || { echo "failed: Python ${failed[*]}" >&2 && exit 1; }
