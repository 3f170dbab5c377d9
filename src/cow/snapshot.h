/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots of shared memory, and views of them.
 *
 * A snapshot is an epoch of an object's history (history.h); a view is memory
 * of its own, which is filled page by page, as it is touched, with what the
 * snapshot sees, and of which snapshots can be taken again: what its page is
 * is then found by asking one object after the other.
 *
 * Contract: but for what the engine calls, with the region map's lock held and
 * signals blocked.  Results are 0 or -errno: -ENOMEM, -EPERM (no userfaultfd is
 * to be had) and what is said with each.
 */
#ifndef ANONSHIM_COW_SNAPSHOT_H
#define ANONSHIM_COW_SNAPSHOT_H

#include "cow/uffd.h"
#include "cow/watch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A snapshot to those outside: it is never used again for another. */
typedef uint64_t snapshot_id;

/* Once, at start-up. */
void snapshot_start(void);
/* ID as history.h has it; 0: it is none. */
uint32_t snapshot_slot(snapshot_id id);

/*
 * A snapshot of what OBJECT (of share.h), SIZE bytes, is now; FD leads to it,
 * or is -1.  -EINVAL: it is of a kind that cannot be watched.
 */
int snapshot_take(uint32_t object, uint64_t size, int fd, snapshot_id *id);

/* Nobody wants it any more; views of it stay.  -EINVAL: it is none. */
int snapshot_release(snapshot_id id);

/* Bytes of the object it is of; 0: it is none. */
uint64_t snapshot_bytes(snapshot_id id);

/*
 * OBJECT, all of which is mapped at AT and nowhere else, and empty, becomes a
 * view.
 */
int snapshot_view(snapshot_id id, uint32_t object, void *at);

/* What W shows has SIZE bytes now; FD as above.  -ENOMEM: the rest is not
 * watched yet. */
int snapshot_fit(struct watched *w, uint64_t size, int fd);

/*
 * Call EACH for every run of bytes that was written between snapshots FROM and
 * UNTIL of one object, or since FROM (0), from byte AT on.  -EINVAL: they are
 * not such.
 */
typedef void snapshot_each(uint64_t offset, uint64_t len, void *arg);
int snapshot_changes(snapshot_id from, snapshot_id until, uint64_t at,
		     snapshot_each *each, void *arg);

/* -EINVAL: no snapshot of OBJECT is alive; see anonshim_snapshot_watch(). */
int snapshot_watch(uint32_t object, int *fd);

/* Something else than a store is about to write OBJECT's bytes [FROM, TO), or
 * REMOVES them, for which no window may be open. */
int snapshot_preserve(uint32_t object, uint64_t from, uint64_t to,
		      bool removes);
/* And they are gone; the lock was not dropped meanwhile. */
void snapshot_removed(uint32_t object, uint64_t from, uint64_t to);

/* OBJECT, which FD leads to, has perhaps grown up to byte TO, where something
 * was WRITTEN. */
void snapshot_grown(uint32_t object, int fd, uint64_t to, bool written);

struct snapshot_sums {
	uint64_t snapshots;
	uint64_t views;
	uint64_t saved_pages; /* that are kept for snapshots */
	uint64_t view_pages;  /* that views hold */
};
struct snapshot_sums snapshot_sums(void);

/* Before a fork; engine_release() ends that in the parent. */
int snapshot_hold(void);
/* The child's copies of watched memory are in place. */
void snapshot_child(void);
/* In a child that nobody prepared: what its parent had is not known. */
void snapshot_lost(void);
/* Around what no thread may be there for; where there is none any more all that
 * snapshots see is copied. */
void snapshot_suspend(void);
void snapshot_resume(void);
/* Views have all that they show. */
void snapshot_fill_views(void);
/* From here on there will be none. */
void snapshot_end(void);
/* Whether anything is watched, or could be at once. */
bool snapshot_any(void);

/* The engine's: who faulted at ADDR in M may go on. */
void snapshot_save(const struct watch_mapping *m, uintptr_t addr);
void snapshot_fill(const struct watch_mapping *m, uintptr_t addr);

#endif
