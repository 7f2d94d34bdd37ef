#!/bin/sh
# The package on a Debian that has nothing but what every Debian has: installed, used, purged.
# Needs root, debootstrap, and a mirror that can be reached; so it is no test but a step of .ci/run.
#
#   sh test/e2e/minimal-debian.sh DEB [ROOT]     ROOT: one that debootstrap has made; it is copied
set -eu

deb=$(realpath "$1")
work=$(mktemp -d /var/tmp/denim-minimal-XXXXXX)
root=$work/root
namespace=$(basename "$work")
daemon=

clean_up() {
  if [ -n "$daemon" ]; then kill "$daemon" 2>/dev/null || true; fi
  ip netns delete "$namespace" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 143' INT TERM

fail() {
  echo "FAIL $1" >&2
  exit 1
}

# Inside, with a network and a /proc of its own; mounts end with it.
inside() {
  ip netns exec "$namespace" sh -ec 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"' "$root" \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# What there is, without what dpkg and debconf write down.
listing() {
  (cd "$root" && find . -xdev -not -path './var/lib/dpkg/*' -not -path './var/log/*' \
    -not -path './var/cache/*' -not -path './etc/*group*' -not -path './etc/gshadow*' | sort)
}

if [ $# -gt 1 ]; then
  cp -a "$2" "$root"
elif ! debootstrap --variant=minbase bookworm "$root" >"$work/log" 2>&1; then
  # Nothing was learnt about the package: that is not its failure, and must be seen.
  tail "$work/log" >&2
  echo "SKIP the package on a minimal Debian: debootstrap could not make one" >&2
  exit 0
fi
ip netns add "$namespace"
ip -n "$namespace" link add eth0 type veth peer name other
for link in lo eth0 other; do ip -n "$namespace" link set "$link" up; done
ip -n "$namespace" address add 192.0.2.1/24 dev eth0
ip -n "$namespace" route add default via 192.0.2.254

listing >"$work/before"
cp "$deb" "$root/denim.deb"
inside dpkg --install /denim.deb
rm "$root/denim.deb"
inside denim self-test
inside denim init --foreground >"$work/said" 2>&1 &
daemon=$!
inside denim wait --timeout 60s || { cat "$work/said"; fail "no subnet after a minute"; }
inside denim status
grep -q '^FLANNEL_SUBNET=10.244.1.1/24$' "$root/run/flannel/subnet.env" || fail "no subnet"
inside denim leave --yes
wait "$daemon" || fail "the daemon ended with $?"
daemon=
inside dpkg --purge denim
rmdir "$root/run/flannel" 2>/dev/null || true
listing >"$work/after"
diff "$work/before" "$work/after" || fail "something is left"
echo "ok   the package on a minimal Debian"
