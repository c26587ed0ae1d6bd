#!/usr/bin/env bash
# Installs what the test cluster needs from the machine's own Debian mirror. Starts no service:
# every daemon here is ours, with its own configuration, keys and sockets.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root

packages=(
  slurm-wlm slurmdbd munge iproute2
  # The server's core only: the full package would set up and run a database of its own.
  mariadb-server-core mariadb-client-core
  # The job table on PostgreSQL; tests/support/postgres.py runs a server of its own.
  postgresql
  # Apptainer: image files, user namespaces, user-space mounts.
  squashfs-tools uidmap fuse3 fuse-overlayfs squashfuse ca-certificates patchelf
  # Building images, and the environment of the service.
  debootstrap python3-venv python3-pip
  # The login host of the three-host form, and the tests of the SSH channel.
  openssh-server openssh-client
  # A browser, to see what it makes of what the service shows.
  chromium
  # A web server in front at which people log in.
  apache2-bin libapache2-mod-auth-openidc
  # Its systemd-analyze judges the units in deploy/; nothing of it is started.
  systemd
  # Metrics are scraped and alert rules tried by the real one; no service of it is started.
  prometheus
  # What an example wraps.
  gdal-bin
  # Fault tests: a process whose clock is wrong.
  faketime
)
[ $# = 0 ] || packages=("$@") # what another script here needs

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
    missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

# Debian asks this file before a package may start its service. One that stands already is the
# machine's own answer and stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi

mkdir -p "$HOME_DIR"
log=$HOME_DIR/packages.log
say "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
{
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "${missing[@]}"
} > "$log" 2>&1 || { tail -20 "$log" >&2; die "could not install packages (see $log)"; }
