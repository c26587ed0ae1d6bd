#!/usr/bin/env bash
# hosts.sh FILE COMMAND...: runs a command, as root, with FILE in the place of /etc/hosts. The machine's
# own file stays as it is: the change is made in a private mount namespace.
set -euo pipefail
# shellcheck disable=SC2016  # the inner shell's
exec unshare --mount --propagation slave sh -ec '
  mount --bind "$1" /etc/hosts
  shift
  exec "$@"' sh "$@"
