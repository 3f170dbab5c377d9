# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Stacks of threads carry the name of their start routine.

name='thread_stack: stack worker'

for_way() {
	[[ ! $E2E_NAMES ]] || also+=("names().get('$name', 0) >= 300")
	shown "300 <= rss(name='$name') < 400" "$victims/thread_stack" "$1"
}

test_default() {
	# the whole stack, guard included or not
	also=("8188 <= size(name='$name') <= 8196")
	for_way ''
}

test_of_a_size() {
	also=("1016 <= size(name='$name') <= 1032")
	for_way size
}

test_detached() { for_way detached; }
test_without_guard() { for_way noguard; }

# glibc hands a finished thread's stack to the next
test_cached() {
	also=("size(name=re('early_worker')) == 0")
	for_way cached
}

# The program's own memory keeps the program's name for it, or gets the
# stack's: it is attributed once.
test_user_provided() {
	start with '' "$victims/thread_stack" user
	shows "rss(name=re('thread_stack: (stack worker|mmap main)')) >= 300" \
		"size(name=re('thread_stack: (stack worker|mmap main)')) \
			== 1024" \
		"r['unattributed_kib'] == 0"
}

# A thread that is gone has no stack, and what libc keeps of it is not
# another's.
gone() {
	start with '' "$victims/thread_stack" "$1"
	[[ ! $E2E_NAMES ]] || also=("'$name' not in names()")
	shows "rss(name='$name') == 0" ${also[@]+"${also[@]}"}
}

test_returned() { gone return; }
test_pthread_exit() { gone exit; }
test_cancelled() { gone cancel; }

# The stack that libc keeps of an ended thread is nobody's: libc unmaps it
# unseen one day, and a record of it could not follow.
test_kept_stack_is_nobodys() {
	start with '' "$victims/thread_stack" return
	shows "r['unattributed_kib'] > 0" \
		"size(kind='stack', site='main') == size(kind='stack')"
}

test_stacks_off() {
	start with stacks=0 "$victims/thread_stack" ''
	shows "size(name='$name') == 0"
}

test_two_hundred_threads() {
	slow
	start with '' "$victims/many_threads" wait
	report --by name
	holds "r['total']['rss_kib'] == kernel('Rss')"
}
