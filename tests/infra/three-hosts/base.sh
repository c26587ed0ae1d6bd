#!/usr/bin/env bash
# Builds the root file system that the three hosts start from, once: Debian 13 with Slurm, an SSH
# server, and Apptainer from unstable, which fits there as it is.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root

packages=(
  ca-certificates hostname iproute2 procps python3
  munge slurm-wlm slurmdbd mariadb-server-core mariadb-client-core
  openssh-server
  apptainer squashfs-tools squashfuse fuse3 fuse-overlayfs uidmap
)
recipe=$(digest "${BASH_SOURCE[0]}")
[ "$(cat "$BASE/.recipe" 2>/dev/null)" != "$recipe" ] || exit 0

"$CLUSTER_DIR/packages.sh" mmdebstrap
mirror=$(apt_mirror)
[ -n "$mirror" ] || die "apt names no Debian mirror to build from"
say "building the root file system of the three hosts"
new=$SITE/base.new
rm -rf --one-file-system "$new"

# Before the first package: unstable gives only what nothing else has, and no service starts.
# shellcheck disable=SC2016  # $1 is mmdebstrap's: the new root
before='set -e
  mkdir -p "$1/etc/apt/preferences.d" "$1/usr/sbin"
  printf "Package: *\nPin: release n=sid\nPin-Priority: 100\n" > "$1/etc/apt/preferences.d/sid"
  printf "#!/bin/sh\nexit 101\n" > "$1/usr/sbin/policy-rc.d"
  chmod 755 "$1/usr/sbin/policy-rc.d"'
# A mirror may be a snapshot of an earlier day; signatures count all the same.
nice mmdebstrap --quiet --mode=root --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" \
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
  --aptopt='Acquire::Check-Valid-Until "false"' \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --setup-hook="$before" trixie "$new" "deb $mirror trixie main" "deb $mirror sid main" \
  2> "$SITE/base.log" || { tail -20 "$SITE/base.log" >&2; die "see $SITE/base.log"; }

# Where root itself lacks some capabilities, "full" cannot be had; nobody keeps cgroups by systemd.
sed -i -e 's/^root default capabilities = .*/root default capabilities = no/' \
  -e 's/^systemd cgroups = .*/systemd cgroups = no/' "$new/etc/apptainer/apptainer.conf"
echo "$recipe" > "$new/.recipe"
# Hosts that run on the old one, and what they wrote over it, are of no use any more.
for host in "${HOSTS[@]}"; do "$HOSTS_DIR/host.sh" stop "$host"; done
rm -rf --one-file-system "$SITE/hosts" "$BASE"
mv "$new" "$BASE"
say "built ($(du -sh "$BASE" | cut -f1))"
