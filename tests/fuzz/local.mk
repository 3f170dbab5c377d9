# SPDX-License-Identifier: BSD-2-Clause
# The fuzzers are built and run by tests/fuzz/run, not by make check.
EXTRA_DIST += tests/fuzz/run \
	tests/fuzz/fuzz_cfi.c \
	tests/fuzz/fuzz_core.c \
	tests/fuzz/fuzz_options.c \
	tests/fuzz/fuzz_registry.c \
	tests/fuzz/fuzz_smaps.c \
	tests/fuzz/stubs.c \
	tests/fuzz/corpus/cfi/frame_pointer \
	tests/fuzz/corpus/cfi/realigned \
	tests/fuzz/corpus/core/small \
	tests/fuzz/corpus/core/truncated \
	tests/fuzz/corpus/options/bad \
	tests/fuzz/corpus/options/valid \
	tests/fuzz/corpus/registry/as_it_is \
	tests/fuzz/corpus/registry/put_right \
	tests/fuzz/corpus/smaps/maps \
	tests/fuzz/corpus/smaps/two
