#!/usr/bin/env bash
# Installs Apptainer under our own prefix when the machine has none. Debian carries it in its unstable
# suite only, linked against a newer libc than a stable machine's, so its files are unpacked beside
# that libc and told to use it: nothing of the machine itself changes.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root

prefix=$HOME_DIR/apptainer
"$prefix/bin/apptainer" --version >/dev/null 2>&1 && exit 0
command -v apptainer >/dev/null && exit 0

say "installing Apptainer under $prefix"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An apt that knows unstable alone, with lists of its own: the machine's apt never hears of it.
mirror=$(apt_mirror)
[ -n "$mirror" ] || die "apt names no Debian mirror to fetch Apptainer from"
mkdir -p "$work/lists/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" > "$work/sid.list"
apt_sid() {
  apt-get -qq -o Dir::Etc::sourcelist="$work/sid.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
cd "$work"
apt_sid update
apt_sid download apptainer libc6 libseccomp2 libsqlite3-0
for deb in ./*.deb; do dpkg-deb --extract "$deb" root; done

triplet=$(basename "$(dirname "$(ls -d root/usr/lib/*/apptainer)")")
new=$work/prefix
mkdir -p "$new/bin" "$new/lib/$triplet" "$new/libc" "$new/var/lib/apptainer/mnt/session"
cp -a root/usr/bin/apptainer "$new/bin/"
ln -s apptainer "$new/bin/singularity"
cp -a "root/usr/lib/$triplet/apptainer" "$new/lib/$triplet/"
cp -a root/etc "$new/etc"
# The starter takes $prefix/lib for its prefix, the command takes $prefix: let both find the same.
ln -s ../bin ../etc ../var "$new/lib/"
ln -s . "$new/lib/lib"

for library in 'ld-linux*.so.*' libc.so.6 libm.so.6 libresolv.so.2 libseccomp.so.2 libsqlite3.so.0; do
  # shellcheck disable=SC2086  # the loader's name is a pattern: it carries the architecture
  cp -L "root/usr/lib/$triplet/"$library "$new/libc/"
done
loader=$(basename "$new"/libc/ld-linux*)
# An rpath, not a runpath: it must hold for the libraries' own libraries too.
for program in "$new/bin/apptainer" "$new/lib/$triplet/apptainer/bin/starter"; do
  patchelf --set-interpreter "$prefix/libc/$loader" --force-rpath --set-rpath "$prefix/libc" "$program"
done

# "full" capabilities cannot be had where root itself lacks some, and no systemd keeps cgroups here.
sed -i -e 's/^root default capabilities = .*/root default capabilities = no/' \
  -e 's/^systemd cgroups = .*/systemd cgroups = no/' "$new/etc/apptainer/apptainer.conf"

chmod -R go=u-w "$new"
rm -rf "$prefix"
mv "$new" "$prefix"
"$prefix/bin/apptainer" --version
