/* SPDX-License-Identifier: BSD-2-Clause */
/* Arenas and accounts of the heap, for people. */
#include "tool/explain_heap.h"

#include <stdlib.h>

#include "tool/heap_live.h"
#include "tool/mem.h"
#include "tool/text.h"

#define MOST_ACCOUNTS 16 /* printed; how many more are there is told */

void explain_field(FILE *to, const char *key, const char *value)
{
	if (value[0] == '\0')
		return;
	fprintf(to, "  %-9s ", key);
	text_put(to, value);
	fputc('\n', to);
}

/* Small owners hold little: below 1 KiB in bytes. */
static const char *live_text(char to[TEXT_HUMAN_BYTES], uint64_t bytes)
{
	if (bytes >= 1024)
		return text_human(to, rows_live_kib(bytes));
	snprintf(to, TEXT_HUMAN_BYTES, "%u B", (unsigned)bytes);
	return to;
}

static int most_live_first(const void *a, const void *b)
{
	const struct explain_account *x = a, *y = b;
	uint64_t live_x = heap_live_account(x->account);
	uint64_t live_y = heap_live_account(y->account);

	if (live_x != live_y)
		return live_x > live_y ? -1 : 1;
	return x->account->site < y->account->site
		       ? -1
		       : x->account->site > y->account->site;
}

static void print_account(const struct explain_account *of, FILE *to)
{
	char size[TEXT_HUMAN_BYTES];

	fprintf(to, "    %7s  ",
		live_text(size, heap_live_account(of->account)));
	text_put(to, of->label.owner);
	if (of->label.site[0] != '\0') {
		fputs(": ", to);
		text_put(to, of->label.site);
	}
	fputc('\n', to);
}

/* Accounts that hold something; the others are history. */
static size_t find_accounts(struct subject *subject, struct explain_account *to)
{
	const struct registry *reg = &subject->registry;
	size_t n = 0;

	for (uint64_t i = 0; i < reg->naccounts; i++) {
		const struct registry_account *account = &reg->accounts[i];

		if (heap_live_account(account) == 0)
			continue;
		to[n].account = account;
		to[n++].label =
			claim_label_of_account(reg, account, &subject->pool);
	}
	return n;
}

static void print_accounts(struct subject *subject, FILE *to)
{
	struct explain_account *all =
		mem_zalloc(subject->registry.naccounts + 1, sizeof(*all));
	size_t n = find_accounts(subject, all);

	qsort(all, n, sizeof(*all), most_live_first);
	fprintf(to, "  accounts  of %zu %s, live bytes of each\n", n,
		n == 1 ? "site" : "sites");
	for (size_t i = 0; i < n && i < MOST_ACCOUNTS; i++)
		print_account(&all[i], to);
	if (n > MOST_ACCOUNTS)
		fprintf(to,
			"    and %zu more; anonshim report --by site lists "
			"all\n",
			n - MOST_ACCOUNTS);
	free(all);
}

static bool met_before(const struct part *part, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (part[k].arena == part[i].arena)
			return true;
	return false;
}

void explain_arenas(struct subject *subject, const uint64_t *live,
		    const struct part *part, size_t n, FILE *to)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t arena = part[i].arena;
		char size[TEXT_HUMAN_BYTES];
		bool shared;

		if (arena == 0 || met_before(part, i))
			continue;
		shared = (subject->registry.arenas[arena].flags &
			  ARENA_SHARED) != 0;
		fprintf(to, "  arena     %u, live %s%s\n", arena,
			live_text(size, live[arena]),
			shared ? ", shared by small owners" : "");
		if (shared)
			print_accounts(subject, to);
	}
}

static void print_alone(struct callstack *stack,
			const struct explain_account *of, FILE *to)
{
	const struct registry *reg = &stack->subject->registry;
	const struct registry_site *site = &reg->sites[of->account->site];
	const struct label *label = &of->label;
	char size[TEXT_HUMAN_BYTES];

	text_put(to, label->name[0] != '\0' ? label->name : label->owner);
	fputc('\n', to);
	explain_field(to, "owner", label->owner);
	explain_field(to, "kind", label->kind);
	explain_field(to, "site", label->site);
	fprintf(to, "  live      %s, in the arena that small owners share\n",
		live_text(size, heap_live_account(of->account)));
	if (site->nframes == 0)
		return;
	fputs("  call stack\n", to);
	callstack_print(stack, site, to);
}

void explain_accounts(struct callstack *stack, struct explain_account *account,
		      size_t n, FILE *to)
{
	qsort(account, n, sizeof(*account), most_live_first);
	for (size_t i = 0; i < n && i < MOST_ACCOUNTS; i++) {
		fputs(i > 0 ? "\n" : "", to);
		print_alone(stack, &account[i], to);
	}
	if (n > MOST_ACCOUNTS)
		fprintf(to, "\nand %zu more sites of the shared arena\n",
			n - MOST_ACCOUNTS);
}
