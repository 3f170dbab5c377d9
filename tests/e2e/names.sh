# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Who is named as the owner of mapped memory, for every way to map it.

pages_kib=148 # what the victims map

# named WAY KIND [KIB]: as map_names WAY maps, the report says, and smaps too
# where the kernel takes names.
named() {
	local name="map_names: $2 site_$1" kib=${3:-$pages_kib}

	[[ ! $E2E_NAMES ]] || also+=("names().get('$name') == $kib")
	shown "size(name='$name') == $kib and rss(name='$name') == $pages_kib" \
		"$victims/map_names" "$1"
}

test_mmap() { named plain mmap; }
test_mmap64() { named plain64 mmap; }
test_raw_mmap() { named syscall mmap; }
test_populate() { named populate mmap; }
test_noreserve() { named noreserve mmap; }
test_shared_anonymous() { named shared mmap; }
test_map_stack() { named stack stack; }
test_mprotect_keeps_the_name() { named protect mmap; }
test_fixed_over_own_reserve() { named fixed mmap; }
test_partial_munmap() { named partial mmap; }
test_mremap_shrinks() { named shrink mmap; }
test_mremap_grows() { named grow mmap; }
test_mremap_moves() { named move mmap; }
test_raw_mremap() { named raw_move mmap; }
test_mremap_leaves_the_old_place() { named dontunmap mmap 296; }

# two addresses of the same pages: both count in size and in RSS
test_mremap_makes_an_alias() {
	also=("rss(name='map_names: mmap site_alias') == 296"
		"148 <= pss(name='map_names: mmap site_alias') <= 150")
	shown "size(name='map_names: mmap site_alias') == 296" \
		"$victims/map_names" alias
}

# The rows by site know kind and function, those by owner and kind the sums.
test_rows_by_every_key() {
	start with '' "$victims/map_names" plain
	report --by site
	holds "size(owner='map_names', kind='mmap', site='site_plain') == 148"
	report --by owner
	holds "rss(owner='map_names') >= 148" \
		"not any(row['site'] for row in r['rows'])"
	report --by kind
	holds "rss(kind='mmap') >= 148"
	report --by name
	holds "r['source'] == ('kernel' if '$E2E_NAMES' else 'registry')"
}

own_name_case() {
	start without "$victims/own_name" "$1"
	cp out plain
	stop
	start with '' "$victims/own_name" "$1"
	same out plain "what prctl said"
}

test_program_names_are_kept() {
	own_name_case ''
	[[ ! $E2E_NAMES ]] || also=("names()['mine: my own name'] == 148")
	shows "size(name='mine: my own name') == 148" \
		"size(name='own_name: mmap site_own') == 0" \
		${also[@]+"${also[@]}"}
}

test_program_names_through_syscall() {
	own_name_case raw
	shows "size(name='mine: my own name') == 148"
}

test_program_takes_its_name_back() {
	own_name_case unname
	shows "size(name='mine: my own name') == 0"
}

test_program_names_with_the_api() {
	start with '' "$victims/own_name" api
	contains out "name 0 errno 0"
	contains out "bad name -1 errno 22"
	contains out "unaligned -1 errno 22"
	shows "size(name='mine: my own name') == 148"
}

test_skip_of_functions() {
	start with '' "$victims/wrapped"
	shows "size(name='wrapped: mmap inner_get') == 148"
	stop
	start with 'skip=inner_get' "$victims/wrapped"
	shows "size(name='wrapped: mmap outer_get') == 148"
	stop
	start with 'skip=inner_*:outer_*' "$victims/wrapped"
	shows "size(name='wrapped: mmap customer') == 148"
	stop
	# where all is skipped the memory still belongs to someone
	start with 'skip=*' "$victims/wrapped"
	shows "r['unattributed_kib'] == 0" \
		"rss(name=re('^(wrapped|libc).*mmap')) >= 148"
}

# The whole stack stands in the registry, as deep as depth= says.
test_depth() {
	local address

	for depth in 1 3 32; do
		start with "depth=$depth" "$victims/wrapped"
		address=$("$anonshim" explain "$pid" --tsv |
			awk -F '\t' '/inner_get/ { print $1; exit }')
		[[ $address ]] || fail "explain does not list the mapping"
		"$anonshim" explain "$pid" "$address" >explained
		contains explained inner_get
		if ((depth > 2)); then
			contains explained outer_get
		else
			lacks explained outer_get
		fi
		stop
	done
}

test_template() {
	start with 'name=<%s> of %o (%k) 100%%' "$victims/map_names" plain
	shows "size(name='<site_plain> of map_names (mmap) 100%') == 148"
	stop
	start with 'name=%o %p' "$victims/map_names" plain
	shows "size(name='map_names $pid', kind='mmap') == 148"
}

test_template_with_thread() {
	start with 'name=%o %k %s %t' "$victims/thread_stack" ''
	for task in /proc/"$pid"/task/*; do
		[[ ${task##*/} == "$pid" ]] || thread=${task##*/}
	done
	shows "rss(name='thread_stack stack worker $thread') >= 300"
}

test_naming_off() {
	start without env LD_PRELOAD="$shim" ANONSHIM_OPTIONS=naming=off \
		"$victims/map_names" plain
	shows "size(name=re('site_plain')) == 0"
}

test_naming_registry() {
	start with naming=registry "$victims/map_names" plain
	shows "size(name='map_names: mmap site_plain') == 148" \
		"r['source'] == 'registry' and not names()"
}

test_naming_kernel() {
	start with naming=kernel "$victims/map_names" plain
	shows "size(name='map_names: mmap site_plain') == 148"
	if [[ $E2E_NAMES ]]; then
		holds "names()['map_names: mmap site_plain'] == 148"
	else
		contains out "this kernel takes no names"
	fi
}

test_disabled() {
	start without env LD_PRELOAD="$shim" ANONSHIM_OPTIONS=enable=0 \
		"$victims/map_names" plain
	shows "size(name=re('site_plain')) == 0"
}

test_before_main() {
	also=("size(name='before_main: mmap site_preinit') == 296")
	shown "size(name='before_main: mmap site_early') == 148" \
		"$victims/before_main"
}

test_constructor_of_a_library() {
	shown "size(name='lib_ctor.so: mmap ctor_grab') == 148" \
		"$victims/lib_host" "$libraries/lib_ctor.so"
}

test_constructor_of_a_preloaded_library() {
	pid=
	LD_PRELOAD="$shim $libraries/lib_ctor.so" "$victims/map_names" plain \
		>out 2>&1 &
	pid=$!
	started+=("$pid")
	await out ready
	shows "size(name='lib_ctor.so: mmap ctor_grab') == 148"
}

test_coroutines_map() {
	shown "size(name='coroutines: mmap site_coroutine') == 4000" \
		"$victims/coroutines"
}

test_cxx_names_are_readable() {
	compiled throws
	start with '' "$victims/throws"
	report --by site
	holds "rss(owner='throws', site=re('warehouse::Shelf::fill<')) == 148"
}

test_jemalloc_preloaded() {
	local library=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2

	[[ -e $library ]] || skip "no libjemalloc2"
	for order in "$shim $library" "$library $shim"; do
		rm -f out
		LD_PRELOAD=$order "$victims/uses_jemalloc" >out 2>&1 &
		pid=$!
		started+=("$pid")
		await out ready
		shows "rss(owner=re('jemalloc')) > 47000" \
			"r['unattributed_kib'] * 100 <= \
				r['anonymous']['rss_kib']"
		stop
	done
}
