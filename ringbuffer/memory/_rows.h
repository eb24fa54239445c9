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

static inline long long
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

static inline int
is_several(const Row *row)
{
    return row->flag == EACH || row->flag == BUT_LAST || row->flag == OTHERS_AWAKE;
}

/* How many flags a row about several visits. A ring without readers has none to leave out. */
static inline ptrdiff_t
count_of(const Actor *self, const Row *row)
{
    switch (row->flag) {
    case OTHERS_AWAKE: return self->own == 0 ? self->readers : 1;
    case BUT_LAST: return self->readers - (self->readers > 0);
    default: return self->readers;
    }
}

/* Where in the memory the byte, word or number of a row lies. */
static inline ptrdiff_t
offset_of(const Actor *self, const Row *row, ptrdiff_t rank)
{
    const ptrdiff_t entry = self->flags_offset + self->index * self->entry_stride;
    switch (row->flag) {
    case WRITTEN: return entry;
    case OWN: return entry + self->own;
    case NEIGHBOUR: return entry + self->own % self->readers + 1;
    case POSITION: return self->position_offset;
    case AWAKE: return self->awake_offset + 4 * self->own;
    case OTHERS_AWAKE: return self->awake_offset + (self->own == 0 ? 4 * (1 + rank) : 0);
    default: return entry + 1 + rank; /* EACH, BUT_LAST */
    }
}

static inline void
note_position(Actor *self, uint64_t done, int ordering)
{
    store_number((Number *)(void *)(self->base + self->position_offset), LITTLE_64(done), ordering);
}

static inline int
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
static inline int
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

/* Make one access, the one before which the actor stands; of several flags, to that of `rank`. */
static inline int
visit(Actor *self, ptrdiff_t rank, Did *did)
{
    const Row *row = &self->rows[self->pc];
    const int several = is_several(row);
    did->offset = did->value = -1;
    if (row->kind == FENCE) {
        fence(row->ordering);
        return take(self, DONE);
    }
    if (several && count_of(self, row) == 0) { /* a loop over no flags makes no access, and finds none that is not 1 */
        return take(self, row->kind == LOAD ? ONE : DONE);
    }
    if (row->flag == LOCK) {
        did->value = touch_byte(&self->lock, row);
    } else if (row->flag == POSITION) { /* the row stands before the count goes up */
        did->offset = self->position_offset;
        did->value = (long long)self->done + 1;
        note_position(self, self->done + 1, row->ordering);
    } else {
        did->offset = offset_of(self, row, rank);
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
    if (self->visited < count_of(self, row)) {
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
