#!/usr/bin/env bash
# fuse.sh COMMAND...: runs a command, as root, where every user may open /dev/fuse. Without udev the
# device is root's alone, and plain users could not mount image files. The change is made in a private
# mount namespace, so the machine's own /dev stays as it is.
set -euo pipefail
[ "$(stat -c %a /dev/fuse)" != 666 ] || exec "$@"
# A file system of our own, since the one that holds our folder may forbid devices.
# shellcheck disable=SC2016  # the inner shell's
exec unshare --mount --propagation slave sh -ec '
  mount -t tmpfs -o mode=0755,size=64k pywps-hpc-fuse /mnt
  mknod -m 666 /mnt/fuse c 10 229
  mount --bind /mnt/fuse /dev/fuse
  umount -l /mnt
  exec "$@"' sh "$@"
