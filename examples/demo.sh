#!/usr/bin/env bash
# The main job on one machine: set up, serve the examples with the local scheduler, send the climate
# request as a WPS client would, show the result, stop. Needs Python 3.10 or later, and no root.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
out=$PWD/demo

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "demo: needs Python 3.10 or later; name one with: make demo PYTHON=/path/to/python3" >&2
    exit 1
fi
if [ ! -x "$venv/bin/python" ] && ! "$python" -m venv "$venv"; then
    rm -rf "$venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-venv >/dev/null
        "$python" -m venv "$venv"
    else
        echo "demo: this Python cannot make virtual environments (Debian: apt install python3-venv)" >&2
        exit 1
    fi
fi

# Installing again costs seconds even if nothing changed: remember what was installed.
wanted=$(cat pyproject.toml examples/requirements*.txt | sha256sum)
if [ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing into $venv …"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --editable '.[server]' owslib \
        -r examples/requirements.txt -r examples/requirements-data.txt
    echo "$wanted" >"$venv/installed"
fi

mkdir -p "$out/spool" && chmod 700 "$out/spool"
data=$("$venv/bin/python" -c 'import iris_sample_data; print(iris_sample_data.path)')
port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port/wps

# The sample configuration leaves these to the environment.
export PYWPS_HPC_DATA=$data PYWPS_HPC_SPOOL=$out/spool PYWPS_HPC_CODE=$PWD PYWPS_HPC_RUNTIME=none
export PYWPS_HPC_URL=$url

config=pywps.cfg
if [ "$(id -u)" = 0 ]; then # as in a container
    config=$out/pywps.cfg
    sed 's/^# allow_root = no$/allow_root = yes/' pywps.cfg >"$config"
fi

"$venv/bin/pywps-hpc" serve examples.service:service --config "$config" --bind "127.0.0.1:$port" \
    >"$out/service.log" 2>&1 &
service=$!
trap 'kill "$service" 2>/dev/null; wait "$service" 2>/dev/null || true' EXIT

until "$venv/bin/python" -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])))' \
    "$port" 2>/dev/null; do
    if ! kill -0 "$service" 2>/dev/null; then
        echo "demo: the service cannot start; its log:" >&2
        cat "$out/service.log" >&2
        exit 1
    fi
    sleep 0.2
done

echo "Service: $url   (its log: demo/service.log)"
"$venv/bin/python" -m examples.demo --url "$url" --output "$out"
