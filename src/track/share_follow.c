/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has to know that mappings of shared objects changed; see share.h.
 */
#include "track/share.h"

#include <string.h>

/* Watched objects whose mappings one call changes, as a rule. */
#define MOVES 8

uint32_t share_moved;

static share_follower *follower;
static struct move {
	uint32_t object;
	struct share_place places[SHARE_PLACES];
} moves[MOVES];

void share_set_follower(share_follower *follow)
{
	follower = follow;
}

/* How much larger P would have to be for [START, END). */
static uintptr_t growth(const struct share_place *p, uintptr_t start,
			uintptr_t end)
{
	return (start < p->from ? p->from - start : 0) +
	       (end > p->to ? end - p->to : 0);
}

/* To the place that grows least by it: what a call moves is at two. */
static void place_add(struct share_place places[SHARE_PLACES], uintptr_t start,
		      uintptr_t end)
{
	struct share_place *p = &places[0];

	if (p->to && growth(p, start, end) > end - start) {
		p = &places[1];
		if (p->to &&
		    growth(&places[0], start, end) < growth(p, start, end))
			p = &places[0];
	}
	if (!p->to)
		*p = (struct share_place){start, end};
	p->from = start < p->from ? start : p->from;
	p->to = end > p->to ? end : p->to;
}

/* All are followed when the call is recorded, for until then records are of
 * what is no more. */
void share_has_moved(uint32_t object, uintptr_t start, uintptr_t end)
{
	uint32_t i = 0;

	if (!(share_object_at(object)->flags & OBJECT_WATCHED))
		return;
	while (i < share_moved && moves[i].object != object)
		i++;
	if (i == MOVES) { /* of an munmap(), then */
		share_follow();
		i = 0;
	}
	if (i == share_moved)
		moves[share_moved++] = (struct move){.object = object};
	place_add(moves[i].places, start, end);
}

void share_follow_nothing(void)
{
	share_moved = 0;
}

void share_follow(void)
{
	struct move now[MOVES];
	uint32_t n = share_moved;

	memcpy(now, moves, n * sizeof(*now));
	share_follow_nothing();
	for (uint32_t i = 0; follower && i < n; i++)
		follower(now[i].object, now[i].places);
}
