# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # used by, and set by, who sources it
#
# Building trees, for scripts/check, demo and bench. Source it after setup.sh,
# with `top` set; it runs nothing by itself.

# libjemalloc-dev: the archive that the shim's heap is made of, and binutils,
# which rename what is in it
build_packages=(gcc libc6-dev linux-libc-dev binutils libjemalloc-dev make
	autoconf automake libtool pkg-config libstdc++-12-dev)

# make would rebuild configure by itself, but not where it is not yet.
bootstrap() {
	local input

	if [[ -e $top/configure && -e $top/Makefile.in ]]; then
		for input in configure.ac Makefile.am src/local.mk; do
			[[ ! $top/$input -nt $top/Makefile.in ]] || break
			input=
		done
		[[ -n $input ]] || return 0
	fi
	say "autoreconf"
	autoreconf -fi "$top" 2>&1
}

# configure_tree DIR CONFIGURE-ARG...: only if it was not, or was otherwise.
configure_tree() {
	local dir=$1 how="$top ${CC:-} ${CFLAGS:-} ${*:2}"

	bootstrap || return
	mkdir -p "$dir"
	[[ ! -e $dir/Makefile || $top/configure -nt $dir/config.status ||
		$(cat "$dir/.configured" 2>/dev/null) != "$how" ]] || return 0
	say "configure ${*:2} in $dir"
	rm -f "$dir/.configured"
	(cd "$dir" && "$top/configure" "${@:2}") || return
	printf '%s\n' "$how" >"$dir/.configured"
}

# make_in DIR ARG...: with all processors.
make_in() {
	env -u MAKEFLAGS make -C "$1" -j"$(nproc)" "${@:2}"
}

# build_tree DIR CONFIGURE-ARG...: a build of this tree, out of it, in DIR.
# What it says is for a log.
build_tree() {
	configure_tree "$@" || return
	make_in "$1"
}

# with_log LOG COMMAND...: its output goes to LOG; if it fails, the end of it
# is shown.
with_log() {
	local log=$1

	mkdir -p "${log%/*}"
	"${@:2}" >"$log" 2>&1 </dev/null && return
	tail -n 20 "$log" | sed 's/^/  | /' >&2
	return 1
}
