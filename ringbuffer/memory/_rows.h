/* Rows of a table and the accesses that they make: plain C, which knows shared memory and nothing of Python.
 *
 * An Actor stands before an access of a row, makes it (`visit`), and goes where the row says that its outcome leads. Rules and
 * limits: those of _native.c, of which this is a part. What is a row, and that all its places lie in the memory, is checked
 * before (_table.h, _native.c), so that nothing is checked here.
 */

#ifndef RINGBUFFER_ROWS_H
#define RINGBUFFER_ROWS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "_futex.h"

#if ATOMIC_CHAR_LOCK_FREE != 2 || ATOMIC_INT_LOCK_FREE != 2 || ATOMIC_LLONG_LOCK_FREE != 2
#error "what processes share must have atomics that need no lock"
#endif

#if defined(__GNUC__)
#define ALWAYS __attribute__((always_inline))
#else
#define ALWAYS
#endif

typedef _Atomic unsigned char Byte;
typedef _Atomic uint32_t Word;
typedef _Atomic uint64_t Number;
_Static_assert(sizeof(Byte) == 1, "a flag is one byte of shared memory");
_Static_assert(sizeof(Word) == 4, "the kernel compares 32 bits");
_Static_assert(sizeof(Number) == 8, "a position has 64 bits");

/* Positions and frames are little-endian on every processor. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LITTLE_32(number) __builtin_bswap32(number)
#define LITTLE_64(number) __builtin_bswap64(number)
#else
#define LITTLE_32(number) (number)
#define LITTLE_64(number) (number)
#endif

/* The numbers of encoding.py, letter for letter; a test compares them. */
enum kind { LOAD, STORE, EXCHANGE, FENCE, FILL, READ, SLEEP, WAKE, KINDS };
enum ordering { PLAIN, RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST, ORDERINGS };
enum flag { NOTHING, WRITTEN, OWN, EACH, NEIGHBOUR, BUT_LAST, LOCK, POSITION, AWAKE, OTHERS_AWAKE, FLAGS };
enum outcome { ZERO, ONE, DONE, ABORTED, OUTCOMES };
enum edge { NONE, FORWARD, WAITED, RESTARTED, FINISHED, RETURNED, EDGES };

/* How a call ends: the values of compiled.py. GOING: it does not, the actor stands before its next access. */
enum result { WAIT, FOUND, ENDED, GOING, BUSY, TOO_LARGE };

/* Where a call begins: at the first row, behind the caller's part (which it has done, or given up), or at lying down. */
enum call { BEGIN, FINISH, ABORT, REST };

typedef struct {
    int pc, advance;
    unsigned char edge;
} Branch;

typedef struct {
    unsigned char kind, ordering, flag, value;
    int missing_allowed;
    Branch branches[OUTCOMES];
    /* What follows from the flag, for one actor (place): where the byte, word or number lies, that of rank 0 if there are several;
     * how far it is to the next rank's, and to the next block's; and how many ranks there are (-1: it is one flag). */
    ptrdiff_t offset, rank_stride, block_stride, count;
} Row;

typedef struct {
    unsigned char *base; /* the memory */
    Row *rows;
    int row_count, payload_pc; /* the one row in which the block is the caller's */
    int rests_at;              /* where waiting leads: to lying down, or 0 where no row does that */
    ptrdiff_t blocks, flags_offset, entry_stride, readers, own, position_offset, awake_offset;
    ptrdiff_t index;          /* the current block */
    uint64_t done;            /* how many blocks it is done with */
    int pc;                   /* the row before whose access the actor stands */
    ptrdiff_t visited, zeros; /* of several flags: how many were visited, and how many of those were not 1 */
    char *is_visited;         /* which of them, while the actor is stepped */
    Byte lock;                /* the lock of this process alone */
    char is_going, is_held;   /* stands before an access; the block is the caller's */
} Actor;

/* What one access did: to which byte of the memory (-1: to none), and the value that it loaded or stored. */
typedef struct {
    ptrdiff_t offset;
    long long value;
} Did;

/* ---- One access ---------------------------------------------------------------------------------------------------- */

/* The orderings are written out because C wants them constant. A row has one that its kind allows: rows are checked. */
#define DEFINE_LOAD(name, Type, Value)                                                                                          \
    static inline Value name(Type *place, int ordering)                                                                         \
    {                                                                                                                           \
        switch (ordering) {                                                                                                     \
        case RELAXED: return atomic_load_explicit(place, memory_order_relaxed);                                                 \
        case ACQUIRE: return atomic_load_explicit(place, memory_order_acquire);                                                 \
        default: return atomic_load_explicit(place, memory_order_seq_cst);                                                      \
        }                                                                                                                       \
    }

#define DEFINE_STORE(name, Type, Value)                                                                                         \
    static inline void name(Type *place, Value value, int ordering)                                                             \
    {                                                                                                                           \
        switch (ordering) {                                                                                                     \
        case RELAXED: atomic_store_explicit(place, value, memory_order_relaxed); return;                                        \
        case RELEASE: atomic_store_explicit(place, value, memory_order_release); return;                                        \
        default: atomic_store_explicit(place, value, memory_order_seq_cst); return;                                             \
        }                                                                                                                       \
    }

#define DEFINE_EXCHANGE(name, Type, Value)                                                                                      \
    static inline Value name(Type *place, Value value, int ordering)                                                            \
    {                                                                                                                           \
        switch (ordering) {                                                                                                     \
        case RELAXED: return atomic_exchange_explicit(place, value, memory_order_relaxed);                                      \
        case ACQUIRE: return atomic_exchange_explicit(place, value, memory_order_acquire);                                      \
        case RELEASE: return atomic_exchange_explicit(place, value, memory_order_release);                                      \
        case ACQ_REL: return atomic_exchange_explicit(place, value, memory_order_acq_rel);                                      \
        default: return atomic_exchange_explicit(place, value, memory_order_seq_cst);                                           \
        }                                                                                                                       \
    }

DEFINE_LOAD(load_byte, Byte, unsigned char)
DEFINE_STORE(store_byte, Byte, unsigned char)
DEFINE_EXCHANGE(exchange_byte, Byte, unsigned char)
DEFINE_LOAD(load_word, Word, uint32_t)
DEFINE_STORE(store_word, Word, uint32_t)
DEFINE_EXCHANGE(exchange_word, Word, uint32_t)
DEFINE_STORE(store_number, Number, uint64_t)

static inline void
fence(int ordering)
{
    switch (ordering) {
    case ACQUIRE: atomic_thread_fence(memory_order_acquire); return;
    case RELEASE: atomic_thread_fence(memory_order_release); return;
    case ACQ_REL: atomic_thread_fence(memory_order_acq_rel); return;
    default: atomic_thread_fence(memory_order_seq_cst); return;
    }
}

static inline ALWAYS long long
touch_byte(Byte *byte, const Row *row)
{
    switch (row->kind) {
    case LOAD: return load_byte(byte, row->ordering);
    case STORE: store_byte(byte, row->value, row->ordering); return row->value;
    default: return exchange_byte(byte, row->value, row->ordering);
    }
}

/* A word of who is awake. Of a SLEEP it is asked whether the kernel would lie down, without doing so: 0 if it would. */
static inline long long
touch_word(Word *word, const Row *row)
{
    switch (row->kind) {
    case LOAD: return load_word(word, row->ordering);
    case STORE: store_word(word, row->value, row->ordering); return row->value;
    case SLEEP: return sleep_on((uint32_t *)word, 0, &NO_TIME) == EAGAIN;
    case WAKE: return wake_up((uint32_t *)word, INT_MAX);
    default: return exchange_word(word, row->value, row->ordering);
    }
}

/* ---- Going from row to row ----------------------------------------------------------------------------------------- */

/* Say where the flags of a row lie, and how many there are: once, before it is run. */
static inline void
place(const Actor *self, Row *row)
{
    const ptrdiff_t entry = self->flags_offset, stride = self->entry_stride, readers = self->readers;
    const int writes = self->own == 0;
    const struct {
        ptrdiff_t offset, rank_stride, block_stride, count;
    } places[FLAGS] = {
        [WRITTEN] = {entry, 0, stride, -1},
        [OWN] = {entry + self->own, 0, stride, -1},
        [NEIGHBOUR] = {entry + (readers > 0 ? self->own % readers + 1 : 0), 0, stride, -1},
        [EACH] = {entry + 1, 1, stride, readers},
        [BUT_LAST] = {entry + 1, 1, stride, readers - (readers > 0)}, /* without readers there is none to leave out */
        [POSITION] = {self->position_offset, 0, 0, -1},
        [AWAKE] = {self->awake_offset + 4 * self->own, 0, 0, -1},
        [OTHERS_AWAKE] = {self->awake_offset + (writes ? 4 : 0), 4, 0, writes ? readers : 1},
        [NOTHING] = {0, 0, 0, -1},
        [LOCK] = {0, 0, 0, -1},
    };
    row->offset = places[row->flag].offset;
    row->rank_stride = places[row->flag].rank_stride;
    row->block_stride = places[row->flag].block_stride;
    row->count = places[row->flag].count;
}

static inline int
is_several(const Row *row)
{
    return row->count >= 0;
}

static inline void
note_position(Actor *self, uint64_t done, int ordering)
{
    store_number((Number *)(void *)(self->base + self->position_offset), LITTLE_64(done), ordering);
}

static inline ALWAYS int
land(Actor *self, int pc)
{
    self->pc = pc;
    self->visited = self->zeros = 0;
    self->is_held = pc == self->payload_pc;
    self->is_going = !self->is_held;
    return self->is_held ? FOUND : GOING;
}

/* Take the branch of an outcome. What ends a call is waiting, and coming back to the first row: there the caller decides what
 * is next. */
static inline ALWAYS int
take(Actor *self, int outcome)
{
    const Branch *branch = &self->rows[self->pc].branches[outcome];
    self->index += branch->advance;
    while (self->index >= self->blocks) {
        self->index -= self->blocks; /* a division would take longer than all the rest */
    }
    self->done += branch->edge == FINISHED;
    if (branch->edge == FORWARD || ((branch->edge == RESTARTED || branch->edge == FINISHED) && branch->pc != 0)) {
        return land(self, branch->pc);
    }
    self->is_going = self->is_held = 0;
    return branch->edge == WAITED ? WAIT : ENDED;
}

/* Make one access, the one before which the actor stands; of several flags, to that of `rank`. (It is the inside of the loop that
 * every message goes through: inlined there it saves a tenth of what a message takes.) */
static inline ALWAYS int
visit(Actor *self, ptrdiff_t rank, Did *did)
{
    const Row *row = &self->rows[self->pc];
    const int several = is_several(row);
    did->offset = did->value = -1;
    if (row->kind == FENCE) {
        fence(row->ordering);
        return take(self, DONE);
    }
    if (row->count == 0) { /* a loop over no flags makes no access, and finds none that is not 1 */
        return take(self, row->kind == LOAD ? ONE : DONE);
    }
    if (row->flag == LOCK) {
        did->value = touch_byte(&self->lock, row);
    } else if (row->flag == POSITION) { /* the row stands before the count goes up */
        did->offset = self->position_offset;
        did->value = (long long)self->done + 1;
        note_position(self, self->done + 1, row->ordering);
    } else {
        did->offset = row->offset + rank * row->rank_stride + self->index * row->block_stride;
        did->value = row->flag == AWAKE || row->flag == OTHERS_AWAKE
                         ? touch_word((Word *)(void *)(self->base + did->offset), row)
                         : touch_byte((Byte *)(self->base + did->offset), row);
    }
    if (!several) {
        return take(self, row->kind != LOAD ? DONE : did->value ? ONE : ZERO);
    }
    self->visited += 1;
    self->zeros += row->kind == LOAD && did->value != 1;
    if (self->zeros > row->missing_allowed) {
        return take(self, ZERO); /* the first flag too many decides */
    }
    if (self->visited < row->count) {
        return GOING;
    }
    return take(self, row->kind == LOAD ? ONE : DONE);
}

static inline int
enter(Actor *self, int call)
{
    if (call == BEGIN || call == REST) {
        return land(self, call == BEGIN ? 0 : self->rests_at);
    }
    self->pc = self->payload_pc;
    return take(self, call == FINISH ? DONE : ABORTED);
}

#endif
