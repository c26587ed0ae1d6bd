#!/usr/bin/env bash
# Makes or updates the Python environment of the service and of the tests, and the project's wheel in it.
# Its Python is the machine's own: one under root's home is out of reach for the service's user.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
build=$HOME_DIR/build
mkdir -p "$build"
take_lock venv
venv=$PYWPS_HPC_TEST_VENV
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

if ! "$venv/bin/python" -c '' 2>/dev/null; then
  rm -rf "$venv" "$build"/*.key
  /usr/bin/python3 -m venv "$venv"
fi

# Everything but the project itself. The image has the same lists and versions (image.sh).
cd "$CHECKOUT"
cp "$CLUSTER_DIR"/requirements*.txt "$build"
cat examples/requirements.txt >> "$build/requirements.txt"
"$venv/bin/python" - > "$build/project.txt" <<'END'
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*project["dependencies"], sep="\n")
END
"$venv/bin/python" - > "$build/tools.txt" <<'END'
import itertools, tomllib
file = tomllib.load(open("pyproject.toml", "rb"))
print(*file["build-system"]["requires"], sep="\n")
print(*itertools.chain(*file["project"]["optional-dependencies"].values()), sep="\n")
END
cat examples/requirements-data.txt >> "$build/tools.txt"
key=$(digest "$build"/{requirements,requirements-no-deps,project,tools}.txt "$venv/pyvenv.cfg")
if [ "$(cat "$build/venv.key" 2>/dev/null)" != "$key" ]; then
  say "installing the requirements into $venv"
  pip install --use-pep517 -r "$build/project.txt" -r "$build/requirements.txt" -r "$build/tools.txt"
  pip install --no-deps -r "$build/requirements-no-deps.txt"
  pip freeze --exclude pywps-hpc > "$build/constraints.txt"
  echo "$key" > "$build/venv.key"
fi

# As a wheel and not editable: plain users need not be able to read the checkout.
code=$(digest pywps_hpc joblauncher job_templates containers pyproject.toml README.md LICENSE)
if [ "$(cat "$build/code.key" 2>/dev/null)" != "$code" ]; then
  say "installing the project's wheel"
  rm -rf "$build/wheel"
  pip wheel --no-deps --no-build-isolation --wheel-dir "$build/wheel" .
  pip install --no-deps --force-reinstall "$build"/wheel/*.whl
  echo "$code" > "$build/code.key"
fi
