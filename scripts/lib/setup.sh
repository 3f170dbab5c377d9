# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the scripts share. Source it; it runs nothing by itself.

say() {
	printf '== %s\n' "$*"
}

die() {
	printf 'anonshim: %s\n' "$*" >&2
	exit 1
}

# is_installed PKG
is_installed() {
	dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null |
		grep -qx installed
}

# apt_get ARG...: as root, asking nothing; its chatter goes to stderr.
apt_get() {
	local as_root=()

	((EUID == 0)) || as_root=(sudo)
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@" >&2
}

# need_packages PKG...: installs those that are missing.
need_packages() {
	local pkg missing=()

	if ! type -P dpkg-query apt-get >/dev/null; then
		die "cannot look for packages without dpkg and apt: $*"
	fi
	for pkg; do
		is_installed "$pkg" || missing+=("$pkg")
	done
	((${#missing[@]})) || return 0
	((EUID == 0)) || command -v sudo >/dev/null ||
		die "not installed, and neither root nor sudo: ${missing[*]}"
	if [[ -z ${apt_is_fresh:-} ]]; then
		apt_get update || die "apt-get update failed"
		apt_is_fresh=1
	fi
	apt_get install -y --no-install-recommends "${missing[@]}" ||
		die "cannot install: ${missing[*]}"
}
