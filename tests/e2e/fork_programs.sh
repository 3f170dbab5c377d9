# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154,SC2016 # see lib.sh
# Programs that map memory at two addresses of one process, and fork: closure
# libraries, code generators, managed runtimes. tests/e2e/packages lists what
# they are in.
#
# Nearly every script has parent and child write the same place by their own
# lights, one after the other as pipes have it, and then call what is there.

# shellcheck source=/dev/null
. "$E2E_DIR/programs.sh"

# says OPTIONS COMMAND...: what it prints, and its status, are in ./said.
# OPTIONS is "-" for no shim.
says() {
	local how=(with "$1") status=0

	[[ $1 != - ]] || how=(without)
	shift
	(
		ulimit -c 0
		"${how[@]}" timeout -k 5 100 "$@"
	) >said 2>said.err </dev/null || status=$?
	((status != 77)) || skip "$(head -n 1 said)"
	echo "status $status" >>said
	head -n 5 said.err | cut -c 1-200
}

# cured COMMAND...: prints under the shim what is in ./expected; without it, or
# with nothing made private in a child, it does not.
cured() {
	local options

	echo "status 0" >>expected
	for options in "" copy=eager; do
		says "$options" "$@"
		same said expected "what it says with '$options'"
	done
	for options in - fork=none; do
		says "$options" "$@"
		! cmp -s said expected || fail "right with '$options' too"
	done
}

# From now on anonymous memory is not both written and run, as under systemd's
# MemoryDenyWriteExecute: libffi falls back on a memfd mapped twice.
make_mdwe() {
	cat >mdwe.py <<-'EOF'
		import ctypes, os, sys
		if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
		    print("no PR_SET_MDWE before Linux 6.3")
		    sys.exit(77)
		os.execvp(sys.argv[1], sys.argv[1:])
	EOF
	mdwe=("$python" -I "$PWD/mdwe.py")
}

# Says "aliased" of a maps file with two shared mappings of the same bytes.
make_aliased() {
	cat >aliased.awk <<-'EOF'
		$2 ~ /s$/ && seen[$3, $4, $5]++ { found = 1 }
		END { if (found) print "aliased" }
	EOF
}

# Closures --------------------------------------------------------------------

python_closures() {
	make_mdwe
	cat >closures.py <<-'EOF'
		import ctypes, os, threading
		kind = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)
		def make(first):
		    return [kind(lambda x, k=k: x + k)
		            for k in range(first, first + 20)]
		def right(callbacks, first):
		    return all(one(1) == first + k + 1
		               for k, one in enumerate(callbacks))
		def elsewhere():
		    "New callbacks' data lie elsewhere than in the parent."
		    return [bytes(n) for n in range(1, 480) for _ in range(20)]
	EOF
}

# CPython issue 155283: the child's free() and its new callbacks are written
# into the pages that the parent's callbacks run from.
test_python_child_frees() {
	python_closures
	cat >>closures.py <<-'EOF'
		mine = make(100)
		print(right(mine, 100), flush=True)
		pid = os.fork()
		if pid == 0:
		    mine.clear()
		    print("child", right(make(5000), 5000), flush=True)
		    os._exit(0)
		os.waitpid(pid, 0)
		print("parent", right(mine, 100), flush=True)
	EOF
	printf '%s\n' True "child True" "parent True" >expected
	cured "${mdwe[@]}" "$python" -I closures.py
}

# Each makes some at once, and the other calls its own after that.
test_python_both_make() {
	python_closures
	cat >>closures.py <<-'EOF'
		old = make(100)
		go, going = os.pipe()
		done, doing = os.pipe()
		pid = os.fork()
		if pid == 0:
		    os.close(going) # to go on where the parent crashes
		    kept = elsewhere()
		    os.read(go, 1)
		    new = make(7000)
		    print("child", right(old, 100), right(new, 7000),
		          flush=True)
		    os.write(doing, b"x")
		    os.read(go, 1)
		    print("child", right(old, 100), right(new, 7000),
		          flush=True)
		    os._exit(0)
		new = make(3000)
		os.write(going, b"x")
		os.read(done, 1)
		print("parent", right(old, 100), right(new, 3000), flush=True)
		more = make(9000)
		os.write(going, b"x")
		os.waitpid(pid, 0)
		print("parent", right(new, 3000), right(more, 9000), flush=True)
	EOF
	printf '%s True True\n' child parent child parent >expected
	cured "${mdwe[@]}" "$python" -I closures.py
}

# A child of a child of a child, each with its own.
test_python_generations() {
	python_closures
	cat >>closures.py <<-'EOF'
		def descend(left, mine):
		    pid = os.fork()
		    if pid == 0:
		        kept = elsewhere()
		        mine += make(left * 1000)
		        if left:
		            descend(left - 1, mine)
		        print(left, right(mine[:20], 100),
		              right(mine[-20:], left * 1000), flush=True)
		        os._exit(0)
		    mine += make(left * 1000)
		    if os.waitpid(pid, 0)[1]:
		        os._exit(1)
		    if not right(mine[-20:], left * 1000):
		        print("wrong in the parent of", left, flush=True)
		    del mine[-20:]
		mine = make(100)
		descend(5, mine)
		print("first", right(mine, 100), flush=True)
	EOF
	printf '%s True True\n' 0 1 2 3 4 5 >expected
	echo "first True" >>expected
	cured "${mdwe[@]}" "$python" -I closures.py
}

# Threads make, call and free callbacks all the while.
test_python_threads() { # 180 s
	python_closures
	cat >>closures.py <<-'EOF'
		stop, wrong = False, []
		def work(first):
		    while not stop:
		        if not right(make(first), first):
		            wrong.append(first)
		threads = [threading.Thread(target=work, args=(n * 1000,))
		           for n in range(3)]
		mine = make(100)
		for thread in threads:
		    thread.start()
		bad = 0
		for i in range(100):
		    pid = os.fork()
		    if pid == 0:
		        good = right(mine, 100)
		        mine.clear()
		        good = good and right(make(i), i)
		        os._exit(0 if good else 1)
		    bad += os.waitpid(pid, 0)[1] != 0
		    bad += not right(mine, 100)
		stop = True
		for thread in threads:
		    thread.join()
		print(bad, wrong, flush=True)
	EOF
	echo "0 []" >expected
	cured "${mdwe[@]}" "$python" -I closures.py
}

# multiprocessing shares its values and arrays, and not the callbacks.
test_python_processes() { # 180 s
	python_closures
	cat >>closures.py <<-'EOF'
		import multiprocessing
		context = multiprocessing.get_context("fork")
		count = context.Value("i", 0)
		results = context.Array("i", 60)
		mine = make(100)
		def task(n):
		    kept = elsewhere()
		    for i in range(n * 20, n * 20 + 20):
		        some = make(i * 10)
		        with count.get_lock():
		            count.value += 1
		        results[i] = right(some, i * 10) and right(mine, 100)
		workers = [context.Process(target=task, args=(n,))
		           for n in range(3)]
		for worker in workers:
		    worker.start()
		for i in range(100):
		    some = make(i)
		    assert right(some, i)
		for worker in workers:
		    worker.join()
		print([worker.exitcode for worker in workers], sum(results),
		      count.value, right(mine, 100), flush=True)
	EOF
	echo "[0, 0, 0] 60 60 True" >expected
	cured "${mdwe[@]}" "$python" -I closures.py
}

test_perl_closures() {
	needs perl
	perl -MFFI::Platypus -e 1 2>/dev/null || skip "no FFI::Platypus"
	make_mdwe
	cat >closures.pl <<-'EOF'
		use strict;
		use FFI::Platypus;
		$| = 1;
		my $ffi = FFI::Platypus->new(api => 1);
		sub make {
		    my ($first) = @_;
		    return map { my $n = $_ + $first;
		        $ffi->closure(sub { $_[0] + $n }) } 0 .. 19;
		}
		sub total {
		    my $sum = 0;
		    for my $one (@_) {
		        my $at = $ffi->cast('(int)->int' => 'opaque', $one);
		        $sum += $ffi->function($at, ['int'] => 'int')->call(1);
		    }
		    return $sum;
		}
		my @mine = make(0);
		print "before ", total(@mine), "\n";
		my $pid = fork;
		if (!$pid) {
		    @mine = ();
		    print "child ", total(make(1000)), "\n";
		    exit 0;
		}
		waitpid $pid, 0;
		print "parent ", total(@mine), "\n";
	EOF
	printf '%s\n' "before 210" "child 20210" "parent 210" >expected
	cured "${mdwe[@]}" perl closures.pl
}

test_ruby_closures() {
	needs ruby
	ruby -rfiddle -e 1 2>/dev/null || skip "no fiddle"
	make_mdwe
	cat >closures.rb <<-'EOF'
		require 'fiddle'
		INT = Fiddle::TYPE_INT
		def make(first)
		  (first...first + 20).map do |n|
		    Fiddle::Closure::BlockCaller.new(INT, [INT]) { |x| x + n }
		  end
		end
		def total(closures)
		  closures.sum { |c| Fiddle::Function.new(c.to_i, [INT],
		                                          INT).call(1) }
		end
		mine = make(0)
		go, going = IO.pipe
		pid = fork do
		  go.read(1)
		  puts "child #{total(mine + make(1000))}"
		  $stdout.flush
		  exit!(0)
		end
		mine += make(50)
		going.write('x')
		Process.wait(pid)
		puts "parent #{total(mine)}"
	EOF
	printf '%s\n' "child 20420" "parent 1420" >expected
	cured "${mdwe[@]}" ruby closures.rb
}

# What the child keeps first has its closures' data lie elsewhere.
test_php_closures() {
	needs php
	[[ $(php -m) == *FFI* && $(php -m) == *pcntl* ]] ||
		skip "no FFI or pcntl in php"
	make_mdwe
	cat >closures.php <<-'EOF'
		<?php
		$ffi = FFI::cdef('int raise(int);
		    void (*signal(int, void (*)(int)))(int);');
		$said = [];
		function on($signal, $what) {
		    global $ffi;
		    $ffi->signal($signal, function ($n) use ($what) {
		        global $said;
		        $said[] = $what;
		    });
		}
		on(10, "first");
		$ffi->raise(10);
		$go = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
		$pid = pcntl_fork();
		if (!$pid) {
		    fread($go[0], 1);
		    for ($i = 8; $i < 600; $i += 8)
		        for ($j = 0; $j < 9; $j++)
		            $kept[] = str_repeat(chr(65 + $j), $i);
		    on(12, "child");
		    $ffi->raise(12);
		    $ffi->raise(10);
		    echo implode(" ", $said), "\n";
		    posix_kill(getmypid(), 9);
		}
		on(12, "parent");
		fwrite($go[1], "x");
		pcntl_waitpid($pid, $status);
		$ffi->raise(10);
		$ffi->raise(12);
		echo implode(" ", $said), "\n";
	EOF
	printf '%s\n' "first child first" "first first parent" >expected
	cured "${mdwe[@]}" php closures.php
}

# Code generators -------------------------------------------------------------

# liborc, GStreamer's, maps an unlinked file twice, wherever it is.
test_orc() {
	"$python" -I -c 'import ctypes; ctypes.CDLL("liborc-0.4.so.0")' \
		2>/dev/null || skip "no liborc"
	cat >orc.py <<-'EOF'
		import ctypes, os
		orc = ctypes.CDLL("liborc-0.4.so.0")
		orc.orc_program_new.restype = ctypes.c_void_p
		orc.orc_executor_new.restype = ctypes.c_void_p
		orc.orc_init()
		def make(n):
		    program = ctypes.c_void_p(orc.orc_program_new())
		    orc.orc_program_add_destination(program, 4, b"d1")
		    orc.orc_program_add_source(program, 4, b"s1")
		    orc.orc_program_add_constant(program, 4, n, b"c1")
		    orc.orc_program_append_str(program, b"addl", b"d1",
		                               b"s1", b"c1")
		    orc.orc_program_compile(program)
		    return program
		def run(program):
		    executor = ctypes.c_void_p(orc.orc_executor_new(program))
		    s, d = (ctypes.c_int * 64)(1), (ctypes.c_int * 64)()
		    orc.orc_executor_set_n(executor, 64)
		    orc.orc_executor_set_array_str(executor, b"s1", s)
		    orc.orc_executor_set_array_str(executor, b"d1", d)
		    orc.orc_executor_run(executor)
		    orc.orc_executor_free(executor)
		    return d[0]
		old = make(500)
		print("before", run(old), flush=True)
		go, going = os.pipe()
		done, doing = os.pipe()
		pid = os.fork()
		if pid == 0:
		    os.close(going)
		    os.read(go, 1)
		    new = [make(n) for n in range(10)]
		    print("child", [run(one) for one in new], run(old),
		          flush=True)
		    os.write(doing, b"x")
		    os._exit(0)
		new = [make(n) for n in range(90, 100)]
		os.write(going, b"x")
		os.read(done, 1)
		os.waitpid(pid, 0)
		print("parent", [run(one) for one in new], run(old), flush=True)
	EOF
	cat >expected <<-'EOF'
		before 501
		child [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] 501
		parent [91, 92, 93, 94, 95, 96, 97, 98, 99, 100] 501
	EOF
	cured "$python" -I orc.py
}

# And all that it can generate.
test_orc_own_tests() {
	needs orc-bugreport
	unchanged orc-bugreport
	contains plain.out "No errors"
}

# The emulator writes code while its monitor forks to run a command.
test_qemu() { # 180 s
	local qemu=qemu-system-x86_64 i

	needs $qemu as ld
	cat >boot.S <<-'EOF'
		.code16
		start:	xor %ax, %ax
			mov %ax, %ds
			mov %ax, %es
			mov %ax, %ss
			mov $0x7c00, %sp
			mov $0x8000, %si
			mov $'0', %bl
		again:	mov $0x3f8, %dx
			mov %bl, %al
			outb %al, %dx
			inc %bl
			cmp $'9' + 1, %bl
			jne code
			mov $'0', %bl
		code:	mov %si, %di # code that was not there before
			mov $0x90, %al
			mov $100, %cx
			rep stosb
			movb $0xc3, (%di)
			call *%si
			add $0x100, %si
			cmp $0xf000, %si
			jb rest
			mov $0x8000, %si
		rest:	mov $0x4000, %cx
			loop .
			jmp again
			.org 510
			.word 0xaa55
	EOF
	as --32 boot.S -o boot.o
	ld -m elf_i386 --oformat binary -e start -Ttext 0x7c00 -o boot boot.o
	make_aliased
	mkfifo commands
	env LD_PRELOAD="$shim" $qemu -accel tcg,split-wx=on -M pc -m 8 \
		-display none -net none -monitor stdio -serial file:serial \
		-drive file=boot,format=raw,if=floppy <commands >monitor 2>&1 &
	pid=$!
	started+=("$pid")
	exec 7>commands
	for i in 1 2 3 4; do
		digits 100
		echo "migrate \"exec:cat >state$i\"" >&7
		echo cont >&7
	done
	digits 100
	equal "$(awk -f aliased.awk "/proc/$pid/maps")" aliased "its code"
	echo quit >&7
	exec 7>&-
	wait "$pid" || fail "qemu: exit status $?"
	for i in 1 2 3 4; do
		(($(stat -c %s state$i) > 10000)) || fail "state $i not saved"
	done
	tr -d '\n' <serial | sed 's/0123456789//g' | head -c 9 >left
	[[ 0123456789 == "$(cat left)"* ]] || fail "the guest went astray"
}

printed() { stat -c %s serial 2>/dev/null || echo 0; }

# digits N: until the guest has printed N more.
digits() {
	local want

	want=$(($(printed) + $1))
	soon has_printed "$want" && kill -0 "$pid" && return
	tail -n 3 monitor
	fail "the guest does not go on"
}

# Or will not any more.
has_printed() {
	kill -0 "$pid" 2>/dev/null || return 0
	(($(printed) >= $1))
}

# Managed runtimes ------------------------------------------------------------

# Erlang's generator maps its code twice.
test_erlang() { # 120 s
	local options=log=$PWD/log # not everyone's threads can be held

	needs erl
	make_aliased
	cat >many.erl <<-'EOF'
		-module(many).
		-export([main/0]).
		work(0, A) -> A;
		work(N, A) -> work(N - 1, (A * 31 + N) band 16#ffffff).
		main() ->
		    io:put_chars(os:cmd("awk -f aliased.awk /proc/" ++
		                        os:getpid() ++ "/maps")),
		    Me = self(),
		    Do = fun(N) ->
		        T = os:cmd("echo " ++ integer_to_list(N)),
		        Me ! {N, T, work(100000, N)}
		    end,
		    [spawn(fun() -> Do(N) end) || N <- lists:seq(1, 30)],
		    All = [receive R -> R end || _ <- lists:seq(1, 30)],
		    io:format("~p~n", [lists:sort(All)]),
		    halt(3).
	EOF
	export HOME=$PWD
	erlc many.erl || fail "erlc failed"
	unchanged erl -noshell -noinput -s many main
	contains plain.out aliased
	contains shim.out '{30,"30\n",'
}

# ZGC maps the heap three times; java forks when told to.
test_java_zgc() { # 300 s
	local mechanism options=log=$PWD/log

	slow
	not_in_lab
	needs java
	make_aliased
	cat >Forks.java <<-'EOF'
		import java.util.*;

		public class Forks {
		    static long work(int seed) {
		        Random random = new Random(seed);
		        List<int[]> kept = new LinkedList<>();
		        long sum = 0;
		        for (int i = 0; i < 30000; i++) {
		            int[] a = new int[100];
		            Arrays.fill(a, random.nextInt());
		            kept.add(a);
		            if (kept.size() > 3000)
		                for (int x : kept.remove(0)) sum += x;
		        }
		        for (int[] a : kept) for (int x : a) sum += x;
		        return sum;
		    }
		    static void run(String... c) throws Exception {
		        int s = new ProcessBuilder(c).inheritIO().start()
		            .waitFor();
		        if (s != 0) System.out.println(c[0] + ": " + s);
		    }
		    public static void main(String[] args) throws Exception {
		        long[] sums = new long[3];
		        Thread[] threads = new Thread[3];
		        run("sh", "-c", "awk -f aliased.awk /proc/$PPID/maps");
		        for (int i = 0; i < 3; i++) {
		            int n = i;
		            threads[i] = new Thread(() -> sums[n] = work(n));
		            threads[i].start();
		        }
		        for (int i = 0; i < 10; i++)
		            run("echo", "child " + i);
		        for (Thread t : threads) t.join();
		        System.out.println(Arrays.toString(sums));
		        System.exit(5);
		    }
		}
	EOF
	for mechanism in FORK VFORK POSIX_SPAWN; do
		unchanged java -XX:+UseZGC -Xmx96m \
			-Djdk.lang.Process.launchMechanism=$mechanism \
			Forks.java
		contains plain.out aliased
		contains plain.out "child 9"
	done
}
