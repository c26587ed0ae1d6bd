#!/usr/bin/env bash
# Builds the image that the tests' jobs run in, with what the service's environment has (venv.sh), in
# the same versions. In two stages, so that a change of the project's own code costs seconds.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
images=$HOME_DIR/images
build=$HOME_DIR/build
mkdir -p "$images"
"$CLUSTER_DIR/venv.sh"
take_lock image

# A copy at a fixed place: the key below knows names, and another clone is no reason to build anew.
recipe=$build/pywps-hpc.def
cp "$CHECKOUT/containers/pywps-hpc.def" "$recipe"
base_key=$(digest "$build"/{project,requirements,requirements-no-deps,constraints}.txt "$recipe")
base=$images/base-$base_key
key=$base_key-$(<"$build/code.key")
[ ! -e "$PYWPS_HPC_TEST_IMAGE" ] || [ "$(cat "$images/test.key" 2>/dev/null)" != "$key" ] || exit 0

# Tens of thousands of small files: in memory, where there is room, it takes half the time.
room=$(df --output=avail --block-size=1G /dev/shm 2>/dev/null | tail -1 || echo 0)
((room < 4)) || export APPTAINER_TMPDIR="${APPTAINER_TMPDIR:-/dev/shm}"

# build OUTPUT KEY=VALUE...: the project's own builder. Values are Python's.
build() {
  local output=$1; shift
  local IFS=,
  local arguments="$*"
  "$PYWPS_HPC_TEST_VENV/bin/python" -I - "$output" "$recipe" <<END
import sys
from pathlib import Path
from pywps_hpc.images import build as images
try:
    images.build(Path(sys.argv[1]), recipe=Path(sys.argv[2]), $arguments)
except images.ImageError as error:
    sys.exit(f"{error}")
END
}

if [ ! -d "$base" ]; then
  say "building the base of the image (minutes, the first time)"
  build "$base" sandbox=True "requirements=['$build/project.txt', '$build/requirements.txt']" \
    "no_deps=['$build/requirements-no-deps.txt']" "constraints=Path('$build/constraints.txt')"
  find "$images" -maxdepth 1 -name 'base-*' ! -path "$base" -exec rm -rf {} +
fi
say "building the image"
build "$PYWPS_HPC_TEST_IMAGE" "base=Path('$base')" 'requirements=[]' \
  "no_deps=['$(echo "$build"/wheel/*.whl)']"
echo "$key" > "$images/test.key"
say "image: $PYWPS_HPC_TEST_IMAGE"
