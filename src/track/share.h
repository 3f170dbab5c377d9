/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared mappings, and which objects have aliases.
 *
 * An object is what a shared mapping shows: shared anonymous memory, a memfd, a
 * file.  It is aliased once two of its mappings, at different addresses, showed
 * one page of it at the same time; that it stays, for a program may map its
 * second view only while it writes.  Objects of files are told apart by device
 * and inode, anonymous ones by the call that made them.
 *
 * Contract: ranges are page-aligned.  Every function but those of marks is
 * called with the region map's lock held, across the kernel's call (region.h).
 * Running out of memory for a record loses it and marks the registry inexact.
 * Objects that are neither mapped nor open, or not marked, are forgotten, in
 * time.
 */
#ifndef ANONSHIM_TRACK_SHARE_H
#define ANONSHIM_TRACK_SHARE_H

#include "wire/registry_abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes [start, end) show the object from offset start + delta on. */
struct share {
	uintptr_t start;
	uintptr_t end;
	uint64_t delta; /* modulo 2^64 */
	uint32_t object;
	uint32_t serial; /* of the call that mapped it */
};

/* Objects that a fork may have to copy, aliased or said to be private, or that
 * snapshots see. */
extern uint32_t share_groups;
/* Shared mappings. */
extern size_t share_count;

/*
 * Objects marked OBJECT_WATCHED are FOLLOWed: it is called once what the kernel
 * did to their mappings is recorded, before the lock is dropped.  Nothing has
 * changed but in these places, [from, to) each, of which one may be empty.
 */
#define SHARE_PLACES 2
struct share_place {
	uintptr_t from;
	uintptr_t to;
};
typedef void share_follower(uint32_t object,
			    const struct share_place places[SHARE_PLACES]);
void share_set_follower(share_follower *follow);
extern uint32_t share_moved; /* objects whose mappings have changed */
/* Mappings of OBJECT in [START, END) have; if it is watched that counts. */
void share_has_moved(uint32_t object, uintptr_t start, uintptr_t end);
void share_follow(void);
/* Nobody is to be told. */
void share_follow_nothing(void);

/*
 * The object DEV, INO, made known if need be; 0: no memory.  One that was born
 * at another time, where that is known, is gone: its number is used again.
 */
uint32_t share_object(uint64_t dev, uint64_t ino, int64_t born_ns,
		      uint32_t site);
/* The same, where it is known; else 0. */
uint32_t share_object_known(uint64_t dev, uint64_t ino);
/* That which descriptor FD leads to, where it is known; else 0. */
uint32_t share_object_of(int fd);
/* A new anonymous one of SIZE bytes. */
uint32_t share_object_anonymous(uint64_t size, uint32_t site);

struct registry_object *share_object_at(uint32_t object);

/* Pages [START, END) now show OBJECT from OFFSET on; they showed none. */
void share_add(uintptr_t start, uintptr_t end, uint64_t offset,
	       uint32_t object);

/* Pages [START, END) show no object any more. */
void share_clear_slowly(uintptr_t start, uintptr_t end);
static inline void share_clear(uintptr_t start, uintptr_t end)
{
	if (__builtin_expect(share_count != 0, 0))
		share_clear_slowly(start, end);
}

/*
 * What [FROM, FROM + LEN) shows is at TO, where nothing was, and no longer
 * where it was if it MOVED.
 */
void share_copy(uintptr_t from, size_t len, uintptr_t to, bool moved);

/* Pages [START, END), behind LAST's, show what comes next there. */
void share_grow(uintptr_t last, uintptr_t start, uintptr_t end);

/* Pages [START, END) show what there is from OLD on, however much is mapped. */
void share_alias(uintptr_t old, uintptr_t start, uintptr_t end);

/* Pages [START, END) now show their object from OFFSET on. */
void share_turn(uintptr_t start, uintptr_t end, uint64_t offset);

/* The mapping that holds ADDR, or else the next above it; NULL: none. */
const struct share *share_at_or_above(uintptr_t addr);

/* A mapping of OBJECT, or NULL. */
const struct share *share_of(uint32_t object);

/* Whether a fork, or a snapshot, may have to do with OBJECT. */
bool share_is_group(uint32_t object);

/* Set FLAGS, OBJECT_*, of an object, and take those in CLEAR back. */
void share_mark(uint32_t object, uint32_t flags, uint32_t clear);

/* In a child that got OBJECT anew: it is DEV, INO now, of SIZE bytes. */
void share_renew(uint32_t object, uint64_t dev, uint64_t ino, int64_t born_ns,
		 uint64_t size);

/*
 * The program did with descriptor FD what makes it an object with FLAG; takes
 * the lock itself.
 */
void share_note(int fd, uint32_t flag);
/* It has SIZE bytes now. */
void share_resized(int fd, uint64_t size);
/* It may have become larger. */
void share_grown(int fd);
/* How large it is: asked where it may have grown unseen, by a write for one,
 * and more of it is mapped than was known to be there. */
uint64_t share_size(uint32_t object);
/* madvise() was called on pages [START, END). */
void share_advised(uintptr_t start, uintptr_t end);
/* What is open at start-up came from another process. */
void share_inherit(void);

#endif
