# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# malloc and its family: what they promise, and whose every page is.

every_heap=('' heap=owner heap=site heap=off "heap=owner,naming=registry")

# COMMAND..., once as it is and then under every kind of heap.
under_every_heap() {
	fine_without "$@"
	for options in "${every_heap[@]}"; do fine_with "$@"; done
}

# The heap is the shim's: nothing below would fail if libc's were used.
test_family_is_whole() {
	with heap=owner "$victims/malloc_face" ours ||
		fail "the family is not the shim's"
	! without "$victims/malloc_face" ours 2>/dev/null ||
		fail "libc's malloc passes for the shim's"
}

test_family() { # 120 s
	under_every_heap "$victims/malloc_face"
}

test_malloc_info_is_xml() {
	for options in "${every_heap[@]}"; do
		with "$options" "$victims/malloc_face" xml >info.xml
		"$python" -IS -c 'import sys, xml.etree.ElementTree as tree
assert tree.parse(sys.argv[1]).getroot().tag == "malloc"' info.xml ||
			fail "malloc_info writes no XML"
	done
}

# C++ -----------------------------------------------------------------------

test_operators_new_and_delete() { # 120 s
	compiled malloc_cxx
	under_every_heap "$victims/malloc_cxx"
}

# libstdc++ is not there when the program starts, and nobody else's then.
test_operators_of_a_library_loaded_late() { # 120 s
	needs g++
	g++ -shared -fPIC -O2 -fno-inline -o lib_cxx.so \
		"$E2E_DIR/../victims/malloc_cxx.cc" || fail "g++ failed"
	under_every_heap "$victims/calls" "$PWD/lib_cxx.so" cxx_run
}

test_program_with_its_own_operator_new() {
	compiled malloc_cxx_own
	for options in "${every_heap[@]}"; do
		unchanged env -u VICTIM_SHIM "$victims/malloc_cxx_own"
	done
}

# replacing WHAT: a program that has WHAT of its own, and no more.
replacing() {
	needs g++
	g++ -O2 -o some "-DREPLACES_$1" \
		"$E2E_DIR/../victims/malloc_cxx_some.cc" || fail "g++ failed"
	for options in "${every_heap[@]}"; do
		unchanged env -u VICTIM_SHIM ./some
	done
	contains shim.out "$2"
}

test_plain_operators_replaced() { # 120 s
	replacing PLAIN 'sized array: 1 1'
}
test_operators_of_arrays_replaced() { # 120 s
	replacing ARRAYS 'sized array: 1 1'
}
test_aligned_operators_replaced() { # 120 s
	replacing ALIGNED 'sized aligned array: 1 1'
}
test_operator_delete_replaced() { # 120 s
	replacing DELETE 'sized array: 0 1'
}
test_malloc_under_the_operators_replaced() { # 120 s
	replacing MALLOC 'nothrow array: 1 1'
}

# Only the library itself can throw what it catches.
test_operators_linked_into_a_library() { # 120 s
	needs g++
	g++ -shared -fPIC -O2 -fno-inline -static-libstdc++ -static-libgcc \
		-o lib_cxx.so "$E2E_DIR/../victims/malloc_cxx.cc" ||
		fail "g++ failed"
	under_every_heap "$victims/calls" "$PWD/lib_cxx.so" cxx_run
}

# Its small blocks are aligned to 8 bytes only, unless it is asked.
test_operators_over_another_malloc() {
	local both="$shim /usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"

	[[ -e ${both#* } ]] || skip "no libtcmalloc_minimal4"
	compiled malloc_cxx
	for options in '' heap=off; do
		status env LD_PRELOAD="$both" ANONSHIM_OPTIONS="$options" \
			"$victims/malloc_cxx"
		equal "$status" 0 "exit status under '$options'"
	done
}

# The addresses of functions, as such a program takes them, are its own.
test_addresses_in_a_program_at_a_fixed_place() {
	needs g++
	g++ -g -O2 -fno-inline -fno-pie -no-pie -DTAKES_ADDRESSES \
		-o heap_fixed "$E2E_DIR/../victims/heap_new.cc" ||
		fail "g++ failed"
	shown "rss(owner='heap_fixed', kind='heap') >= 3 * $least" ./heap_fixed
}

# A malloc of the program's -------------------------------------------------

test_program_with_its_own_malloc() {
	under_every_heap "$victims/malloc_own"
	with heap=owner,verbose=1 "$victims/malloc_own" 2>said >/dev/null
	contains said "malloc is the program's and left alone"
}

# It frees what it takes for libc's blocks; heap=owner would give it others.
test_program_with_its_own_free() {
	for options in '' heap=off; do fine "$victims/malloc_own_free"; done
}

test_program_that_links_another_malloc() {
	local library linked=0

	needs g++
	for library in libjemalloc.so.2 libtcmalloc_minimal.so.4 \
		libmimalloc.so.2; do
		[[ -e /usr/lib/x86_64-linux-gnu/$library ]] || continue
		links_another "$library"
		linked=1
	done
	((linked)) || skip "no other malloc is installed"
}

links_another() {
	gcc -I"$E2E_DIR/../../include" -O2 -fno-builtin -o linked \
		"$E2E_DIR/../victims/malloc_linked.c" -Wl,--no-as-needed \
		"/usr/lib/x86_64-linux-gnu/$1" || fail "gcc failed"
	for options in '' heap=off; do
		unchanged env -u VICTIM_SHIM ./linked
	done
	grep -qE '(^| )1[0-9]{3}( |$)' shim.out || fail "its own was not asked"
	with verbose=1 ./linked 2>said >/dev/null
	contains said "malloc is $1's and left alone; heap=owner"
	start with heap=owner ./linked hold
	shows "rss(owner='linked', kind='heap') >= $least"
	stop
}

# Threads and processes -----------------------------------------------------

threads() { under_every_heap "$victims/malloc_threads" "$@"; }

test_frees_in_other_threads() { threads remote 0; }
test_destructors_of_threads() { threads destructors "$(less 100 2000)"; }
test_cancelled_threads() { threads cancelled "$(less 20 200)"; }
test_fork() { threads forks "$(less 20 200)"; }
test_fork_of_a_fork() { threads generations 20; }
test_vfork() { threads vforks "$(less 10 50)"; }

test_fork_among_threads() { # 180 s
	slow
	threads forks_among_threads "$(less 20 200)"
}

test_threads_come_and_go() { # 180 s
	options=heap=owner fine "$victims/malloc_threads" come_and_go \
		"$(less 1000 10000)"
}

test_a_hundred_thousand_threads() { # 300 s
	heavy
	for options in heap=owner heap=site; do
		fine "$victims/malloc_threads" come_and_go 100000
	done
}

# As with plain jemalloc; libc's malloc keeps what another thread freed.
test_memory_goes_back() { # 180 s
	local owner site=0 # most of the time they wait

	heavy
	with heap=owner "$victims/malloc_threads" returns 400 &
	owner=$!
	with heap=site "$victims/malloc_threads" returns 400 || site=$?
	wait "$owner" || fail "stays resident under heap=owner"
	((!site)) || fail "stays resident under heap=site"
}

# 1,000 threads and 20 owners: 64 MiB at most, beside what they cost anyhow.
test_crowd() { # 120 s
	heavy
	local crowd=("$victims/heap_crowd" "$libraries/lib_owner.so" 1000 20)

	plain=$(without "${crowd[@]}") || fail "fails without the shim"
	for options in heap=owner heap=site; do
		kib=$(with "$options" "${crowd[@]}") || fail "under $options"
		((kib <= plain + 65536)) ||
			fail "$kib KiB under $options, $plain KiB without"
	done
}

test_freed_at_exit() {
	for options in "${every_heap[@]}"; do
		unchanged "$victims/malloc_threads" at_exits 0
	done
	contains shim.out "freed at the end"
}

# Memory of others ----------------------------------------------------------

early() {
	under_every_heap "$victims/malloc_early" "$1" \
		"$libraries/lib_malloc_ctor.so"
}

test_memory_from_before_main() {
	early before_main
	unchanged "$victims/malloc_early" before_main
	contains shim.out "freed at the end"
}

test_memory_from_libc() { early from_libc; }
test_memory_from_a_library() { early library; }
test_memory_outlives_its_library() { early after_unload; }
test_deepbind() { early deepbind; }
test_deepbind_hands_over() {
	fine "$victims/malloc_early" deepbind_back \
		"$libraries/lib_malloc_ctor.so"
}

# Another malloc does not know what a library got from libc's own.
test_deepbind_is_seen() {
	local library=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2

	[[ -e $library ]] || skip "no libjemalloc2"
	status env LD_PRELOAD="$library" "$victims/malloc_early" deepbind \
		"$libraries/lib_malloc_ctor.so" 2>/dev/null
	((status)) || fail "the test cannot see a strange pointer freed"
}

test_constructor_of_a_preloaded_library() {
	local both="$shim $libraries/lib_malloc_ctor.so"

	for options in "${every_heap[@]}"; do
		status env LD_PRELOAD="$both" ANONSHIM_OPTIONS="$options" \
			"$victims/malloc_early" before_main
		equal "$status" 0 "exit status"
		status env LD_PRELOAD="$both" ANONSHIM_OPTIONS="$options" \
			"$victims/malloc_early" from_libc
		equal "$status" 0 "exit status"
	done
}

# Limits --------------------------------------------------------------------

limits() {
	local sizes=(1000 5000 100000 3000000)

	[[ $E2E_FAST ]] || sizes+=(48)
	for size in "${sizes[@]}"; do
		fine_without "$victims/malloc_limits" "$1" "$size"
		for options in '' heap=owner; do
			fine_with "$victims/malloc_limits" "$1" "$size"
		done
	done
}

test_out_of_address_space() { # 120 s
	limits as
}

test_out_of_data() { # 120 s
	limits data
}

test_space_goes_back_to_mmap() { # 120 s
	[[ ! $E2E_FAST ]] || every_heap=('' heap=owner)
	under_every_heap "$victims/malloc_space" as
	under_every_heap "$victims/malloc_space" data
}

# Absurd sizes are refused as libc's malloc refuses them, at no cost.
test_huge_blocks() { # 120 s
	under_every_heap "$victims/malloc_space" huge
}

# Where the kernel trusts everybody with everything they are all given.
test_huge_blocks_on_trust() { # 120 s, alone
	[[ $E2E_LAB ]] || skip "changes a sysctl"
	before=$(cat /proc/sys/vm/overcommit_memory)
	trap 'echo "$before" >/proc/sys/vm/overcommit_memory; clean_up' EXIT
	for mode in 1 2; do
		echo "$mode" >/proc/sys/vm/overcommit_memory
		under_every_heap "$victims/malloc_space" huge
	done
}

# Addresses ------------------------------------------------------------------

# Where blocks are in 16 runs, in hexadecimal: all that COMMAND... prints.
addresses() {
	for _ in {1..16}; do
		with heap=owner "$@" "$victims/malloc_space" where
	done
}

# digits FROM TO: how many different ones there are among these digits of 12.
digits() { cut -c "$1-$2" found | sort -u | wc -l; }

test_addresses_are_random() {
	addresses env >found
	! grep -qvxE '0x[0-9a-f]{12}' found || fail "of another form"
	(($(digits 3 5) > 16)) || fail "windows are where they were"
	(($(digits 6 8) > 16)) || fail "so they are in their windows"
	(($(digits 9 11) > 16)) || fail "to the page"
}

test_addresses_are_not_if_told() {
	setarch -R true || skip "no setarch -R"
	addresses setarch -R >found
	equal "$(digits 1 14)" 2 "addresses"
}

# The checker ---------------------------------------------------------------

# checker [OPTION...] SEED OPERATIONS THREADS OWNERS
checker() {
	local words=()

	while [[ $1 == -* ]]; do words+=("$1") && shift; done
	"$victims/heap_check" ${words[@]+"${words[@]}"} \
		"$libraries/lib_owner.so" "$@"
}

test_blocks_stay_as_they_were() { # 120 s
	checker 1 "$(less 20000 200000)" 4 6
	for options in "${every_heap[@]}"; do
		with "$options" "$victims/heap_check" \
			"$libraries/lib_owner.so" 2 \
			"$(less 20000 200000)" 4 6 || fail "under '$options'"
	done
}

pure() {
	ANONSHIM_OPTIONS=$1 LD_PRELOAD=$shim checker --owners "${@:2}" ||
		fail "under '$1'"
}

test_pages_of_one_owner() { # 120 s
	for options in heap=owner heap=site heap=owner,naming=registry; do
		pure "$options" 3 "$(less 20000 300000)" 4 6
	done
	pure heap=owner 4 "$(less 20000 300000)" 1 20
}

test_pages_of_one_owner_at_length() { # 300 s
	heavy
	pure heap=owner 5 10000000 4 8
	pure heap=site 6 3000000 8 20
}

# What is wrong is found; libc's malloc lets owners share pages.
test_sabotage_of_blocks_is_seen() {
	local what

	for what in content overlap; do
		! checker --sabotage="$what" 7 20000 2 4 >out ||
			fail "sabotage=$what went unseen"
	done
	! without "$victims/heap_check" --owners \
		"$libraries/lib_owner.so" 7 20000 2 4 >out ||
		fail "libc's malloc passes for one by owner"
	contains out "holds blocks of two owners"
}

test_sabotage_of_owners_is_seen() {
	export ANONSHIM_OPTIONS=heap=owner LD_PRELOAD=$shim

	! checker --owners --sabotage=owner 8 20000 2 4 >out ||
		fail "sabotage=owner went unseen"
	contains out "lies in memory of"
	! checker --owners --sabotage=page 8 20000 2 4 >out ||
		fail "sabotage=page went unseen"
	contains out "holds blocks of two owners"
}

# Whose it is ---------------------------------------------------------------

# 20 MiB an owner in blocks of 112 bytes (heap_owners); the first few may lie
# with the small owners'.
least=19200
most=23000

owned() { echo "$least <= rss(owner='$1', kind='heap') <= $most"; }
live() { echo "sum(row['live_kib'] for row in rows(owner='$1', kind='heap'))"; }

# KiB of the brk heap that are resident, where libc's malloc takes its memory.
brk_kib() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { heap = / \[heap\]$/ }
		heap && $1 == "Rss:" { sum += $2 }
		END { print sum + 0 }' "/proc/$pid/smaps"
}

brk_is_small() {
	(($(brk_kib) < 1024)) || fail "[heap] is of $(brk_kib) KiB"
}

start_owners() {
	local options=$1

	shift
	start with "$options" "$victims/heap_owners" "$1" "$libraries" "${@:2}"
}

owners_case() {
	options=$1 shown "$(owned heap_owners)" "$victims/heap_owners" plain \
		"$libraries"
	holds "$(owned lib_heap_a.so)"
	holds "$(owned lib_heap_b.so)" # through strdup
	holds "rss(owner=re('^libc'), kind='heap') < 1024"
	brk_is_small
	report --by site
	holds "$(owned lib_heap_a.so) and $(owned lib_heap_b.so)"
	holds "r['total']['rss_kib'] == kernel('Rss')"
	stop
}

test_owners() { owners_case ''; }
test_owners_by_owner() { owners_case heap=owner; }
test_owners_by_site() { owners_case heap=site; }
test_owners_in_the_registry() { owners_case heap=owner,naming=registry; }

test_owners_in_the_kernel() {
	needs_names
	start_owners heap=owner plain
	shows "any(n.startswith('lib_heap_a.so: heap') for n in names())"
	holds "sum(k for n, k in names().items()
		if n.startswith('lib_heap_a.so: heap')) >= $least"
}

test_heap_off() {
	start_owners heap=off plain
	shows "rss(owner='lib_heap_a.so', kind='heap') < $least"
	(($(brk_kib) >= 3 * least)) || fail "[heap] is of $(brk_kib) KiB"
}

test_live_bytes() {
	start_owners heap=owner plain
	report --by site
	for owner in heap_owners lib_heap_a.so lib_heap_b.so; do
		holds "$least <= $(live "$owner") <= 21504"
	done
}

# Half of the blocks are freed, and no page.
test_holes() {
	start_owners heap=owner holes
	report --by site
	holds "$(owned heap_owners)"
	holds "9728 <= $(live heap_owners) <= 10752"
}

test_sites() {
	start_owners heap=site sites
	report --by site
	for site in fill_one fill_two; do
		holds "$least <= rss(owner='heap_owners', kind='heap',
			site='$site') <= $most"
	done
	report --by site
	holds "rss(owner='heap_owners', kind='heap') >= 2 * $least"
}

# Not worth an arena each, but told apart: 200 KiB each.
test_small_owners() {
	start_owners heap=owner small
	report --by site
	for owner in lib_heap_a.so lib_heap_b.so; do
		holds "180 <= rss(owner='$owner', kind='heap') <= 1024"
		holds "180 <= $(live "$owner") <= 256"
	done
}

test_owner_that_was_closed() {
	start_owners heap=owner closed
	shows "$(owned lib_heap_a.so)"
}

# Wrappers ------------------------------------------------------------------

# wrapper NAME SKIP OWNER
wrapper() {
	start_owners "heap=owner${2:+,skip=$2}" wrapped "$1"
	shows "$(owned "$3")"
	stop
}

test_wrapper_is_an_owner() { wrapper my_xmalloc '' lib_heap_wrap.so; }
test_wrapper_skipped() { wrapper my_xmalloc my_xmalloc lib_heap_a.so; }
test_wrapper_by_module() { wrapper my_xmalloc lib_heap_wrap.so lib_heap_a.so; }
test_wrapper_with_a_large_frame() { wrapper my_xwide 'my_x*' lib_heap_a.so; }
test_wrapper_with_alloca() { wrapper my_xframe 'my_x*' lib_heap_a.so; }
test_wrapper_s_tail_call() { wrapper my_xtail '' lib_heap_a.so; }

test_wrapper_inside_a_wrapper() {
	wrapper my_xinner '' lib_heap_wrap.so
	wrapper my_xinner my_xmalloc lib_heap_wrap.so
	wrapper my_xinner my_xmalloc:my_xinner lib_heap_a.so
}

test_cxx_program() {
	compiled heap_new
	options=heap=owner shown "rss(owner='heap_new', kind='heap') >=
		3 * $least" "$victims/heap_new"
	holds "rss(owner=re('libstdc'), kind='heap') < 1024"
	brk_is_small
	report --by site
	holds "3 * $least <= $(live heap_new) <= 72000"
}

# Valgrind ------------------------------------------------------------------

# valground WORD...: of valgrind, before the victim: no errors of ours.
valground() {
	status without valgrind -q --error-exitcode=9 "$@"
	((!status)) || skip "valgrind does not like the victim alone"
	status with heap=owner valgrind -q --error-exitcode=9 "$@"
	equal "$status" 0 "exit status under valgrind"
}

valgrind_cases() {
	valground "$@" "$victims/malloc_early" before_main
	valground "$@" "$victims/malloc_early" from_libc
	valground "$@" "$victims/malloc_threads" destructors 20
	valground "$@" "$victims/heap_check" "$libraries/lib_owner.so" 9 \
		5000 2 3
}

# Valgrind puts its own malloc in everyone's place.

# A program that calls what Valgrind knows nothing of: reallocarray().
test_valgrind_and_the_rest_of_the_family() { # 60 s
	needs valgrind
	LD_PRELOAD=$shim valgrind -q --error-exitcode=9 ls / >out 2>err ||
		fail "errors: $(head -n 3 err)"
}

test_valgrind() { # 240 s
	heavy
	needs valgrind
	valgrind_cases
}

# Ours runs, in valgrind's eyes a program's.
test_valgrind_with_our_malloc() { # 240 s
	heavy
	needs valgrind
	valgrind_cases --soname-synonyms=somalloc=nouserintercepts
}
