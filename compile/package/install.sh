#!/bin/sh
# Installs Denim from the archive that this file came in, or takes it away again. Looks first, and
# changes nothing where it would not run.
#
# Usage: sh install.sh [--uninstall] [--prefix /usr/local]
set -eu
# Folders that it makes are for everybody, whatever root's own files are.
umask 022

prefix=/usr/local
action=install
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?--prefix needs a folder}; shift ;;
    --uninstall) action=uninstall ;;
    *) echo "error: unknown option $1" >&2; sed -n 's/^# \(Usage: \)/  \1/p' "$0" >&2; exit 2 ;;
  esac
  shift
done

here=$(cd "$(dirname "$0")" && pwd)
binary=$prefix/bin/denim
completion=$prefix/share/bash-completion/completions/denim
docs=$prefix/share/doc/denim

fail() {
  echo "error: $1" >&2
  [ $# -lt 2 ] || echo "  fix   $2" >&2
  exit 1
}

# at_least FOUND WANTED: numbers with dots between
at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

check() {
  [ "$(id -u)" = 0 ] || fail "this needs root" "sudo sh install.sh"
  [ "$(uname -s)" = Linux ] || fail "Denim runs on Linux, and this is $(uname -s)"
  [ "$(uname -m)" = "@MACHINE@" ] ||
    fail "this archive is for @MACHINE@, and this machine is $(uname -m)"
  (cd "$here" && sha256sum --check --quiet --strict SHA256SUMS) ||
    fail "the archive is damaged: a checksum differs" "fetch it again"
  kernel=$(uname -r | sed 's/[^0-9.].*//')
  at_least "$kernel" 4.18 || fail "the kernel is $kernel, and Denim needs 4.18 or later"
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //') || glibc=
  [ -n "$glibc" ] || fail "there is no glibc here" "use a distribution that has it: musl will not do"
  at_least "$glibc" 2.28 || fail "glibc is $glibc, and Denim needs 2.28 or later"
  "$here/denim" --version >/dev/null ||
    fail "the binary does not run here" "install libstdc++ (Debian: libstdc++6)"
}

# put MODE FILE TARGET: whoever runs the old file keeps it
put() {
  mkdir -p "$(dirname "$3")"
  cp "$2" "$3.new"
  chmod "$1" "$3.new"
  mv -f "$3.new" "$3"
}

case $action in
  install)
    check
    put 755 "$here/denim" "$binary"
    put 644 "$here/denim.bash" "$completion"
    for name in LICENSE README.md CHANGELOG.md; do put 644 "$here/$name" "$docs/$name"; done
    echo "Denim $("$binary" --version) is in $binary."
    if [ -e /etc/systemd/system/denim.service ]; then
      echo "The service goes on with the old one until: systemctl restart denim"
    else
      echo "Next: denim init, or denim join HOST; denim doctor says what may be in the way."
    fi
    ;;
  uninstall)
    [ "$(id -u)" = 0 ] || fail "this needs root" "sudo sh install.sh --uninstall"
    [ -x "$binary" ] || fail "there is no $binary"
    # It refuses while this host is in a cluster, and says what to do.
    "$binary" uninstall
    rm -f "$binary" "$completion" "$docs/LICENSE" "$docs/README.md" "$docs/CHANGELOG.md"
    if [ -d "$docs" ]; then rmdir "$docs" 2>/dev/null || true; fi
    echo "Denim is gone from $prefix."
    ;;
esac
