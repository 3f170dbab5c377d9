/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plan: what a fork has to copy, and how far that is.
 *
 * It lies in memory of its own that nobody else knows, and goes with it.
 */
#ifndef ANONSHIM_COW_PLAN_H
#define ANONSHIM_COW_PLAN_H

#include "cow/cow.h"
#include "cow/list.h"
#include "cow/uffd.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COW_NAME_BYTES 288 /* as PROCMAPS_NAME_BYTES */
#define COW_LABEL_BYTES 96 /* a name of PR_SET_VMA_ANON_NAME */

/* How /proc/PID/maps tells objects apart. */
struct cow_identity {
	uint32_t major;
	uint32_t minor;
	uint64_t ino;
};

struct cow_object {
	uint32_t id;	/* of share.h; 0: it was not known */
	uint32_t flags; /* OBJECT_* */
	uint32_t site;
	uintptr_t at; /* in one mapping; 0: there is none */
	bool is_file; /* dev and ino are */
	uint64_t dev;
	uint64_t ino;
	int64_t born_ns;
	unsigned mode; /* permissions, where a descriptor tells */
	struct cow_identity identity;
	bool mapped;	/* identity is known */
	bool named;	/* it has a name that leads to it */
	bool wanted;	/* the policy says so */
	bool is_full;	/* it has no holes */
	int exec_prot;	/* PROT_*: the most of a mapping that is executable */
	unsigned seals; /* F_SEAL_* */
	uint64_t huge_bytes; /* of a page; 0: none of hugetlbfs */
	uint64_t size;	     /* bytes */
	uint64_t bytes;	     /* that it has memory for */
	bool view;	     /* of a snapshot: made in the child, of: */
	char *staged;	     /* the pages that it has, in order, or NULL */
	size_t staged_bytes;
	bool unfit; /* there was no memory to watch what has grown */
	bool lazy;  /* see lazy.h, and what follows */
	char *f0;   /* hidden mappings of all of it, and of the new one */
	char *f1;
	uint8_t *done; /* a bit for 64 KiB that are known to be in the new */
	struct cow_object *next_sink; /* of other windows, see watch.h */
	const struct cow_plan *plan;  /* whose it is, if it is a sink */
	int program_fd;		      /* one of the program's, or -1 */
	int old;	/* ours, to read and seek in; -1: none can be had */
	bool old_seeks; /* with the program's offset: it has to be put back */
	bool old_borrowed; /* it is program_fd */
	uint64_t new_dev;
	uint64_t new_ino;
	int new; /* ours; -1: not made yet */
	char name[COW_NAME_BYTES];
};

struct cow_map {
	uintptr_t start;
	uintptr_t end;
	uint64_t offset;
	int prot;
	uint32_t advice; /* bits of enum cow_advice */
	uint32_t object; /* index; COW_NONE: of none that matters */
	struct cow_identity identity;
	char name[COW_NAME_BYTES];
	char label[COW_LABEL_BYTES];
	bool gone; /* in the child, which MADV_DONTFORK kept it from */
};

/* All of M. */
static inline struct uffd_range cow_range(const struct cow_map *m)
{
	return (struct uffd_range){m->start, m->end};
}

#define COW_NONE UINT32_MAX
#define COW_LAZY_MAX 16 /* objects */

enum cow_advice {
	COW_HUGE = 1,
	COW_NO_HUGE = 2,
	COW_NO_DUMP = 4,
	COW_RANDOM = 8,
	COW_SEQUENTIAL = 16,
};

struct cow_fd {
	int number;
	int copy;  /* ours, of the new object; -1: not made yet */
	int flags; /* F_GETFL */
	bool cloexec;
	int64_t offset; /* in the file */
	uint32_t same;	/* index of the first that shares the offset */
	uint32_t object;
};

/* What parent and child tell each other while a lazy copy is made. */
struct cow_talk {
	uint32_t given;	  /* the child has been given all there is */
	uint32_t closed;  /* and wants nothing any more */
	uint32_t putting; /* the parent is about to put something */
};

struct cow_plan {
	struct cow_list objects;
	struct cow_list maps;
	struct cow_list fds;
	struct cow_list by_id; /* uint32_t: of objects, 1 + index */
	bool rings;  /* the kernel may read and write for io_uring, or aio */
	bool late;   /* what was made is filled after handlers of the program */
	int writers; /* the userfaultfd that holds them, or -1 */
	bool freezes; /* and those that write by descriptor wait */
	bool frozen;
	int error;   /* of a freeze that failed */
	bool lazy;   /* some objects are; for these: */
	int pipe[2]; /* open as long as the child needs its parent's */
	struct cow_talk *talk; /* memory that both see */
	struct cow_plan *next; /* open windows, see lazy_parent.c */
};

#define COW_OBJECT(plan, i) COW_AT(&(plan)->objects, cow_object, i)
#define COW_MAP(plan, i) COW_AT(&(plan)->maps, cow_map, i)
#define COW_FD(plan, i) COW_AT(&(plan)->fds, cow_fd, i)
#define COW_NEXT(plan, id) (&((uint32_t *)(plan)->by_id.at)[id])

/*
 * Find what is to be copied: the objects, their mappings and descriptors.
 * Called with the map's lock held.  Returns 0 or -errno.
 */
int cow_gather(struct cow_plan *plan);
/* The same again; what was made for an object stays. */
int cow_gather_again(struct cow_plan *plan);

/*
 * With the map's lock held: what is mapped for snapshots and by open windows is
 * listed in TO, which was empty.  Returns 0 or -ENOMEM.
 */
int cow_hidden(struct cow_list *to);
int cow_hide(struct cow_list *to, const void *at, size_t bytes);
/* Whether ADDR is in one of that list. */
bool cow_hides(const struct cow_list *list, uintptr_t addr);

/* Whether children get a copy of O, of which all else is known. */
bool cow_policy(const struct cow_object *o);

/* O's name as its maker gave it, in TO. */
void cow_short_name(const struct cow_object *o, char to[COW_NAME_BYTES]);

/* Whether O->new still is what was made. */
bool cow_is_new(const struct cow_object *o);
/* Make what is missing: objects and descriptors. */
int cow_make(struct cow_plan *plan);
/* Whether what is copied at once is more than max-copy; says so. */
bool cow_too_much(const struct cow_plan *plan);
/* Fill it. */
int cow_copy(struct cow_plan *plan);
/* Close what is ours in this table of descriptors; the plan stays as it is. */
void cow_close(const struct cow_plan *plan);
/* Close and unmap what is ours. */
void cow_drop(struct cow_plan *plan);

/* Whether OBJECT is a view, and of one: what it has, in bytes. */
bool cow_is_view(uint32_t object);
uint64_t cow_view_bytes(const struct cow_object *o);
/* With nobody writing: copy that.  Returns 0 or -ENOMEM. */
int cow_view_stage(struct cow_object *o);
void cow_view_unstage(struct cow_object *o);
/* In the child: make O anew, and what M showed of it.  The latter may not be
 * done by half: what M was is gone then. */
int cow_view_make(struct cow_object *o);
long cow_view_map(const struct cow_object *o, const struct cow_map *m);

/*
 * Hold writes of other threads to what is to be copied, where that can be
 * done; say so once where it cannot.
 */
void cow_writers_hold(struct cow_plan *plan);
void cow_writers_release(struct cow_plan *plan);
/* In a child, whose memory was never held. */
void cow_writers_in_child(struct cow_plan *plan);

/* What madvise() said of the mappings, and to say it again. */
void cow_advice_read(struct cow_plan *plan);
void cow_advise(const struct cow_map *map);

/* The next bytes [*START, *END) of O that may be other than zero, from *START
 * on.  Returns 1, 0 where there are none any more, or -errno. */
int cow_extent(const struct cow_plan *plan, uint32_t object, uint64_t *start,
	       uint64_t *end);
/*
 * THERE: for which of N pages of shmem there may be memory (bit 0).  They are
 * at AT, and at OFFSET of what FD leads to, whose position is ours, or -1.
 */
void cow_there(const char *at, int fd, uint64_t offset, uint64_t n,
	       unsigned char there[]);

#endif
