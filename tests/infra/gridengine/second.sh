#!/usr/bin/env bash
# second.sh NAME COMMAND...: runs a command, as root, under the name and with the /tmp of another host,
# as on a node of its own: the folders of a job on two hosts have the same name there.
set -euo pipefail
# shellcheck disable=SC2016  # the inner shell's
exec unshare --uts --mount --propagation slave sh -ec '
  hostname "$1"
  shift
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /tmp
  exec "$@"' sh "$@"
