/* Rows, executed on shared memory: what Python cannot say about an access, its ordering, and how to wait for one.
 *
 * A Runner is handed a table of rows as numbers (ringbuffer/memory/encoding.py prints it, and says what each number means) and
 * does what they say to the flag bytes of a segment. It knows rows, not the protocol: which row comes when, in which ordering,
 * and where it leads, are all in the table. Two functions wait for a 32-bit word and wake those who wait for it (futex).
 *
 * Rules
 * - Every access to a flag is one C11 atomic access of one byte, in the ordering of its row. Several read flags are several
 *   accesses, in the order of the ranks; a stepped runner visits them in the order that it is told.
 * - The payload is plain memory and never touched here. Its caller reads and writes it between two calls of the runner, which
 *   no compiler sees through; what orders it against other processes are the rows before and behind.
 * - An access and the move of the index that belongs to it happen in one call, during which no Python code runs: an interrupt
 *   comes before both or after both. The one exception is a table that runs in circles (an edited one): every
 *   ACCESSES_BETWEEN_SIGNALS accesses the runner lets other threads and signal handlers run, so that it can be interrupted.
 * - Arguments are checked before anything is done. Nothing that is passed in can make this module touch memory outside of the
 *   buffer; what it refuses is a ValueError (or a TypeError).
 *
 * Limits: a flag byte other than 0 and 1 is damage, and is neither repaired nor reported here. It counts as not 0 where one
 * flag is loaded, and as not 1 where several are, so that nobody takes a damaged block for free. Futexes are Linux's.
 *
 * It is compiled against CPython's stable ABI of 3.11 (Py_buffer is part of it from there on), one binary for all later
 * releases. To run its tests under the sanitizers for addresses and undefined behaviour: .ci/sanitize
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if ATOMIC_CHAR_LOCK_FREE != 2 || ATOMIC_INT_LOCK_FREE != 2
#error "flags are shared between processes: their atomics must not need a lock"
#endif

typedef _Atomic unsigned char Byte;
_Static_assert(sizeof(Byte) == 1, "a flag is one byte of shared memory");
_Static_assert(sizeof(_Atomic uint32_t) == 4, "the kernel compares 32 bits");

/* The numbers of encoding.py, letter for letter; a test compares them. */
enum kind { LOAD, STORE, EXCHANGE, FENCE, FILL, READ, KINDS };
enum ordering { PLAIN, RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST, ORDERINGS };
enum flag { NOTHING, WRITTEN, OWN, EACH, NEIGHBOUR, BUT_LAST, LOCK, FLAGS };
enum outcome { ZERO, ONE, DONE, ABORTED, OUTCOMES };
enum edge { NONE, FORWARD, WAITED, RESTARTED, FINISHED, EDGES };

/* How a call ends: the values of compiled.py. GOING: it does not, the runner stands before its next access. */
enum result { WAIT, FOUND, ENDED, GOING };

enum { ROWS_MAX = 1024, MISSING_MAX = 1 << 16, ADVANCE_MAX = 255, ACCESSES_BETWEEN_SIGNALS = 1 << 14 };

typedef struct {
    int pc, advance;
    unsigned char edge;
} Branch;

typedef struct {
    unsigned char kind, ordering, flag, value;
    int missing_allowed;
    Branch branches[OUTCOMES];
} Row;

/* The fields of a row, in the order in which they are passed. */
enum { FIELDS_BEFORE_BRANCHES = 5, FIELDS_OF_A_BRANCH = 3, FIELDS = FIELDS_BEFORE_BRANCHES + OUTCOMES * FIELDS_OF_A_BRANCH };

#define BIT(number) (1u << (number))

/* Which orderings C11 allows for an access of each kind (for a fence: those that do something), and what comes of it. */
static const struct {
    unsigned orderings, outcomes;
} RULES[KINDS] = {
    [LOAD] = {BIT(RELAXED) | BIT(ACQUIRE) | BIT(SEQ_CST), BIT(ZERO) | BIT(ONE)},
    [STORE] = {BIT(RELAXED) | BIT(RELEASE) | BIT(SEQ_CST), BIT(DONE)},
    [EXCHANGE] = {BIT(RELAXED) | BIT(ACQUIRE) | BIT(RELEASE) | BIT(ACQ_REL) | BIT(SEQ_CST), BIT(DONE)},
    [FENCE] = {BIT(ACQUIRE) | BIT(RELEASE) | BIT(ACQ_REL) | BIT(SEQ_CST), BIT(DONE)},
    [FILL] = {BIT(PLAIN), BIT(DONE) | BIT(ABORTED)},
    [READ] = {BIT(PLAIN), BIT(DONE) | BIT(ABORTED)},
};

typedef struct {
    PyObject_HEAD
    Py_buffer buffer;          /* the segment; buffer.obj is NULL when it was released */
    Row *rows;
    int row_count, payload_pc; /* the one row in which the block is the caller's */
    Py_ssize_t blocks, flags_offset, entry_stride, readers, own;
    Py_ssize_t index;          /* the current block */
    int pc;                    /* the row before whose access the runner stands */
    Py_ssize_t visited, zeros; /* of several flags: how many were visited, and how many of those were not 1 */
    char *is_visited;          /* which of them, while the runner is stepped */
    Byte lock;                 /* the lock of this process alone */
    char is_going, is_busy;    /* stands before an access; is inside a call that lets others run */
} Runner;

/* What one access did: to which byte of the buffer (-1: to none), and the value that it loaded or stored. */
typedef struct {
    Py_ssize_t offset;
    int value;
} Did;

/* ---- One access ---------------------------------------------------------------------------------------------------- */

/* The orderings are written out because C wants them constant. A row has one that its kind allows: rows are checked. */

static unsigned char
load(Byte *byte, int ordering)
{
    switch (ordering) {
    case RELAXED: return atomic_load_explicit(byte, memory_order_relaxed);
    case ACQUIRE: return atomic_load_explicit(byte, memory_order_acquire);
    default: return atomic_load_explicit(byte, memory_order_seq_cst);
    }
}

static void
store(Byte *byte, unsigned char value, int ordering)
{
    switch (ordering) {
    case RELAXED: atomic_store_explicit(byte, value, memory_order_relaxed); return;
    case RELEASE: atomic_store_explicit(byte, value, memory_order_release); return;
    default: atomic_store_explicit(byte, value, memory_order_seq_cst); return;
    }
}

static unsigned char
exchange(Byte *byte, unsigned char value, int ordering)
{
    switch (ordering) {
    case RELAXED: return atomic_exchange_explicit(byte, value, memory_order_relaxed);
    case ACQUIRE: return atomic_exchange_explicit(byte, value, memory_order_acquire);
    case RELEASE: return atomic_exchange_explicit(byte, value, memory_order_release);
    case ACQ_REL: return atomic_exchange_explicit(byte, value, memory_order_acq_rel);
    default: return atomic_exchange_explicit(byte, value, memory_order_seq_cst);
    }
}

static void
fence(int ordering)
{
    switch (ordering) {
    case ACQUIRE: atomic_thread_fence(memory_order_acquire); return;
    case RELEASE: atomic_thread_fence(memory_order_release); return;
    case ACQ_REL: atomic_thread_fence(memory_order_acq_rel); return;
    default: atomic_thread_fence(memory_order_seq_cst); return;
    }
}

/* ---- Going from row to row ----------------------------------------------------------------------------------------- */

static int
is_several(const Row *row)
{
    return row->flag == EACH || row->flag == BUT_LAST;
}

/* How many flags a row about several visits. A ring without readers has none to leave out. */
static Py_ssize_t
count_of(const Runner *self, const Row *row)
{
    return self->readers - (row->flag == BUT_LAST && self->readers > 0);
}

/* Where in a block's entry (the written flag, then the read flags) the byte of a row lies. */
static Py_ssize_t
place_of(const Runner *self, const Row *row, Py_ssize_t rank)
{
    switch (row->flag) {
    case WRITTEN: return 0;
    case OWN: return self->own;
    case NEIGHBOUR: return self->own % self->readers + 1;
    default: return 1 + rank; /* EACH, BUT_LAST */
    }
}

static int
land(Runner *self, int pc)
{
    self->pc = pc;
    self->visited = self->zeros = 0;
    self->is_going = pc != self->payload_pc;
    return self->is_going ? GOING : FOUND;
}

/* Take the branch of an outcome. Only a branch back to the first row ends the call: there the caller decides what is next. */
static int
take(Runner *self, int outcome)
{
    const Branch *branch = &self->rows[self->pc].branches[outcome];
    self->index = (self->index + branch->advance) % self->blocks;
    if (branch->edge == FORWARD || (branch->edge == RESTARTED && branch->pc != 0)) {
        return land(self, branch->pc);
    }
    self->is_going = 0;
    return branch->edge == WAITED ? WAIT : ENDED;
}

/* Make one access, the one before which the runner stands; of several flags, to that of `rank`. */
static int
visit(Runner *self, Py_ssize_t rank, Did *did)
{
    const Row *row = &self->rows[self->pc];
    const int several = is_several(row);
    Byte *byte = &self->lock;
    unsigned char value = row->value;
    did->offset = did->value = -1;
    if (row->kind == FENCE) {
        fence(row->ordering);
        return take(self, DONE);
    }
    if (several && count_of(self, row) == 0) { /* a loop over no flags makes no access, and finds none that is not 1 */
        return take(self, row->kind == LOAD ? ONE : DONE);
    }
    if (row->flag != LOCK) {
        did->offset = self->flags_offset + self->index * self->entry_stride + place_of(self, row, rank);
        byte = (Byte *)((unsigned char *)self->buffer.buf + did->offset);
    }
    if (row->kind == LOAD) {
        value = load(byte, row->ordering);
    } else if (row->kind == STORE) {
        store(byte, value, row->ordering);
    } else {
        value = exchange(byte, value, row->ordering);
    }
    did->value = value;
    if (!several) {
        return take(self, row->kind != LOAD ? DONE : value ? ONE : ZERO);
    }
    self->visited += 1;
    self->zeros += row->kind == LOAD && value != 1;
    if (self->zeros > row->missing_allowed) {
        return take(self, ZERO); /* the first flag too many decides */
    }
    if (self->visited < count_of(self, row)) {
        return GOING;
    }
    return take(self, row->kind == LOAD ? ONE : DONE);
}

static int
enter(Runner *self, int call)
{
    if (call == FORWARD) {
        return land(self, 0);
    }
    self->pc = self->payload_pc;
    return take(self, call);
}

/* ---- Runner: its methods ------------------------------------------------------------------------------------------- */

static int
check_usable(Runner *self)
{
    if (self->buffer.obj == NULL) {
        PyErr_SetString(PyExc_ValueError, "this runner was released");
        return -1;
    }
    if (self->is_busy) {
        PyErr_SetString(PyExc_RuntimeError, "this runner is inside a call of another thread or of what a signal interrupted");
        return -1;
    }
    return 0;
}

/* Let other threads run, and then signal handlers, which may raise. Meanwhile nobody else can use or release the runner. */
static int
let_others_run(Runner *self)
{
    int status;
    self->is_busy = 1;
    Py_BEGIN_ALLOW_THREADS
    Py_END_ALLOW_THREADS
    status = PyErr_CheckSignals();
    self->is_busy = 0;
    return status;
}

static PyObject *
run(Runner *self, int call)
{
    Did did;
    int result, left = ACCESSES_BETWEEN_SIGNALS;
    if (check_usable(self) < 0) {
        return NULL;
    }
    result = enter(self, call);
    while (result == GOING) {
        if (left-- == 0) {
            if (let_others_run(self) < 0) {
                self->is_going = 0;
                return NULL;
            }
            left = ACCESSES_BETWEEN_SIGNALS;
        }
        result = visit(self, self->visited, &did);
    }
    return PyLong_FromLong(result);
}

PyDoc_STRVAR(begin_doc, "Run from the first row to the caller's part (FOUND), to waiting (WAIT) or to the end (ENDED).");

static PyObject *
Runner_begin(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return run((Runner *)self, FORWARD);
}

PyDoc_STRVAR(finish_doc, "The caller's part is done: run from there to the end of the table.");

static PyObject *
Runner_finish(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return run((Runner *)self, DONE);
}

PyDoc_STRVAR(abort_doc, "The caller has given its part up: run from there.");

static PyObject *
Runner_abort(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return run((Runner *)self, ABORTED);
}

PyDoc_STRVAR(where_doc, "The index of the current block.");

static PyObject *
Runner_where(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSsize_t(((Runner *)self)->index);
}

PyDoc_STRVAR(enter_doc,
"Stand before the first access of the call named 'begin', 'finish' or 'abort', and make none.\n\n"
"Returns GOING, or how the call ends where it makes no access.");

static PyObject *
Runner_enter(PyObject *object, PyObject *name)
{
    Runner *self = (Runner *)object;
    static const struct {
        const char *name;
        int call;
    } calls[] = {{"begin", FORWARD}, {"finish", DONE}, {"abort", ABORTED}};
    if (check_usable(self) < 0) {
        return NULL;
    }
    for (size_t number = 0; PyUnicode_Check(name) && number < sizeof(calls) / sizeof(calls[0]); number++) {
        if (PyUnicode_CompareWithASCIIString(name, calls[number].name) == 0) {
            return PyLong_FromLong(enter(self, calls[number].call));
        }
    }
    PyErr_Format(PyExc_ValueError, "a call is 'begin', 'finish' or 'abort', and not %R", name);
    return NULL;
}

static int
check_going(Runner *self)
{
    if (check_usable(self) < 0) {
        return -1;
    }
    if (!self->is_going) {
        PyErr_SetString(PyExc_ValueError, "this runner stands before no access: enter a call first");
        return -1;
    }
    return 0;
}

/* Of several flags: the flags that are left to visit, all of them when the row begins. */
static Py_ssize_t
begin_to_visit(Runner *self, const Row *row)
{
    const Py_ssize_t count = count_of(self, row);
    for (Py_ssize_t rank = 0; self->visited == 0 && rank < count; rank++) {
        self->is_visited[rank] = 0;
    }
    return count;
}

PyDoc_STRVAR(stop_doc,
"Where the runner stands: program counter, block index, and the ranks that may be visited next ((0,) but for several flags).");

static PyObject *
Runner_stop(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    Runner *self = (Runner *)object;
    const Row *row;
    PyObject *ranks, *tuple, *number;
    int status;
    if (check_going(self) < 0) {
        return NULL;
    }
    row = &self->rows[self->pc];
    if (!is_several(row)) {
        return Py_BuildValue("in(i)", self->pc, self->index, 0);
    }
    ranks = PyList_New(0);
    if (ranks == NULL) {
        return NULL;
    }
    for (Py_ssize_t rank = 0, count = begin_to_visit(self, row); rank < count; rank++) {
        if (!self->is_visited[rank]) {
            number = PyLong_FromSsize_t(rank);
            status = number == NULL ? -1 : PyList_Append(ranks, number);
            Py_XDECREF(number);
            if (status < 0) {
                Py_DECREF(ranks);
                return NULL;
            }
        }
    }
    tuple = PyList_AsTuple(ranks);
    Py_DECREF(ranks);
    return tuple == NULL ? NULL : Py_BuildValue("inN", self->pc, self->index, tuple);
}

PyDoc_STRVAR(step_doc,
"Make one access: the one before which the runner stands; of several flags, to that of the given rank.\n\n"
"Returns GOING or how the call has ended, the offset in the buffer of the byte that was touched (-1: none of the buffer), and\n"
"the value that was loaded or stored (the old one of an exchange; -1: no access). Raises ValueError for a rank that is not left.");

static PyObject *
Runner_step(PyObject *object, PyObject *argument)
{
    Runner *self = (Runner *)object;
    Py_ssize_t rank = PyNumber_AsSsize_t(argument, PyExc_ValueError);
    Did did;
    int result;
    if ((rank == -1 && PyErr_Occurred()) || check_going(self) < 0) {
        return NULL;
    }
    if (is_several(&self->rows[self->pc])) {
        const Py_ssize_t count = begin_to_visit(self, &self->rows[self->pc]);
        if (count > 0) {
            if (rank < 0 || rank >= count || self->is_visited[rank]) {
                PyErr_Format(PyExc_ValueError, "rank %zd is not one of those left to visit", rank);
                return NULL;
            }
            self->is_visited[rank] = 1;
        }
    }
    result = visit(self, rank, &did);
    return Py_BuildValue("ini", result, did.offset, did.value);
}

PyDoc_STRVAR(release_doc, "Let go of the buffer; the runner cannot run any more. Again does nothing.");

static PyObject *
Runner_release(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    Runner *self = (Runner *)object;
    if (self->buffer.obj != NULL) {
        if (check_usable(self) < 0) {
            return NULL;
        }
        PyBuffer_Release(&self->buffer); /* sets buffer.obj to NULL */
    }
    Py_RETURN_NONE;
}

/* ---- Runner: making one -------------------------------------------------------------------------------------------- */

/* A whole number in its bounds; anything else is an error that names it. */
static int
get_size(PyObject *object, const char *name, Py_ssize_t least, Py_ssize_t most, Py_ssize_t *size)
{
    *size = PyNumber_AsSsize_t(object, PyExc_ValueError);
    if (*size == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (*size < least || *size > most) {
        PyErr_Format(PyExc_ValueError, "%s is %zd, and it lies between %zd and %zd", name, *size, least, most);
        return -1;
    }
    return 0;
}

static int
refuse_row(Py_ssize_t pc, const char *why)
{
    PyErr_Format(PyExc_ValueError, "row %zd: %s", pc, why);
    return -1;
}

/* The numbers of one row, each in its bounds; `rows` is how many there are. */
static int
read_row(PyObject *object, Py_ssize_t pc, Py_ssize_t rows, Row *row)
{
    static const struct {
        const char *name;
        Py_ssize_t most;
    } fields[FIELDS_BEFORE_BRANCHES] = {
        {"kind", KINDS - 1}, {"ordering", ORDERINGS - 1}, {"flag", FLAGS - 1}, {"value", 1}, {"missing_allowed", MISSING_MAX},
    };
    Py_ssize_t numbers[FIELDS];
    PyObject *tuple = PySequence_Tuple(object);
    if (tuple == NULL) {
        return -1;
    }
    if (PyTuple_Size(tuple) != FIELDS) {
        Py_DECREF(tuple);
        return refuse_row(pc, "it has not as many numbers as a row has");
    }
    for (int number = 0; number < FIELDS; number++) {
        const int in_branch = number - FIELDS_BEFORE_BRANCHES, part = in_branch % FIELDS_OF_A_BRANCH;
        const char *name = in_branch < 0 ? fields[number].name : part == 0 ? "edge" : part == 1 ? "pc" : "advance";
        const Py_ssize_t most = in_branch < 0 ? fields[number].most
                                : part == 0   ? EDGES - 1
                                : part == 1   ? rows - 1
                                              : ADVANCE_MAX;
        if (get_size(PyTuple_GetItem(tuple, number), name, 0, most, &numbers[number]) < 0) {
            Py_DECREF(tuple);
            return -1;
        }
    }
    Py_DECREF(tuple);
    row->kind = (unsigned char)numbers[0];
    row->ordering = (unsigned char)numbers[1];
    row->flag = (unsigned char)numbers[2];
    row->value = (unsigned char)numbers[3];
    row->missing_allowed = (int)numbers[4];
    for (int outcome = 0; outcome < OUTCOMES; outcome++) {
        const Py_ssize_t *branch = &numbers[FIELDS_BEFORE_BRANCHES + outcome * FIELDS_OF_A_BRANCH];
        row->branches[outcome] = (Branch){(int)branch[1], (int)branch[2], (unsigned char)branch[0]};
    }
    return 0;
}

/* Whether the numbers make a row: an access that there is, with just the branches that it can take. */
static int
check_row(const Runner *self, Py_ssize_t pc, const Row *row)
{
    const int touches_a_flag = row->kind == LOAD || row->kind == STORE || row->kind == EXCHANGE;
    if (!(RULES[row->kind].orderings & BIT(row->ordering))) {
        return refuse_row(pc, "an access of this kind has no such ordering");
    }
    if (touches_a_flag != (row->flag != NOTHING)) {
        return refuse_row(pc, "loads, stores and exchanges name a flag, and nothing else does");
    }
    if ((row->flag == OWN || row->flag == NEIGHBOUR) && self->own == 0) {
        return refuse_row(pc, "the writer has no read flag of its own, and no neighbour");
    }
    for (int outcome = 0; outcome < OUTCOMES; outcome++) {
        const Branch *branch = &row->branches[outcome];
        if ((branch->edge != NONE) != !!(RULES[row->kind].outcomes & BIT(outcome))) {
            return refuse_row(pc, "it must have branches for just the outcomes that its access has");
        }
        if ((branch->edge == WAITED || branch->edge == FINISHED) && branch->pc != 0) {
            return refuse_row(pc, "after waiting and at the end an actor goes to the first row");
        }
    }
    return 0;
}

static int
read_rows(Runner *self, PyObject *object)
{
    PyObject *tuple = PySequence_Tuple(object);
    Py_ssize_t count = tuple == NULL ? -1 : PyTuple_Size(tuple);
    int payloads = 0, status = -1;
    if (tuple == NULL) {
        return -1;
    }
    if (count < 1 || count > ROWS_MAX) {
        PyErr_Format(PyExc_ValueError, "a table has 1 to %d rows, and not %zd", ROWS_MAX, count);
        goto done;
    }
    self->rows = PyMem_Calloc((size_t)count, sizeof(Row));
    if (self->rows == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    self->row_count = (int)count;
    for (Py_ssize_t pc = 0; pc < count; pc++) {
        Row *row = &self->rows[pc];
        if (read_row(PyTuple_GetItem(tuple, pc), pc, count, row) < 0 || check_row(self, pc, row) < 0) {
            goto done;
        }
        if (row->kind == FILL || row->kind == READ) {
            payloads += 1;
            self->payload_pc = (int)pc;
        }
    }
    if (payloads != 1) {
        PyErr_Format(PyExc_ValueError, "a table has one row in which the block is the caller's, and not %d", payloads);
        goto done;
    }
    status = 0;
done:
    Py_DECREF(tuple);
    return status;
}

/* Whether all entries lie inside the buffer. Written so that no sum or product can overflow. */
static int
check_extent(const Runner *self)
{
    const Py_ssize_t entry = 1 + self->readers, length = self->buffer.len;
    if (self->entry_stride < entry) {
        PyErr_Format(PyExc_ValueError, "entries of %zd bytes do not fit a stride of %zd", entry, self->entry_stride);
        return -1;
    }
    if (self->flags_offset > length - entry || (length - entry - self->flags_offset) / self->entry_stride < self->blocks - 1) {
        PyErr_Format(
            PyExc_ValueError, "%zd entries of %zd bytes, %zd apart, from offset %zd on, do not lie in a buffer of %zd bytes",
            self->blocks, entry, self->entry_stride, self->flags_offset, length);
        return -1;
    }
    return 0;
}

static int
fill_in(Runner *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"buffer", "rows", "blocks", "flags_offset", "entry_stride", "readers", "own", NULL};
    PyObject *buffer, *rows, *blocks, *flags_offset, *entry_stride, *readers, *own;
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "OOOOOOO:Runner", names, &buffer, &rows, &blocks, &flags_offset, &entry_stride, &readers, &own)) {
        return -1;
    }
    if (get_size(blocks, "blocks", 1, PY_SSIZE_T_MAX, &self->blocks) < 0 ||
        get_size(flags_offset, "flags_offset", 0, PY_SSIZE_T_MAX, &self->flags_offset) < 0 ||
        get_size(entry_stride, "entry_stride", 1, PY_SSIZE_T_MAX, &self->entry_stride) < 0 ||
        get_size(readers, "readers", 0, INT_MAX, &self->readers) < 0 ||
        get_size(own, "own", 0, self->readers, &self->own) < 0) {
        return -1;
    }
    if (read_rows(self, rows) < 0 || PyObject_GetBuffer(buffer, &self->buffer, PyBUF_WRITABLE) < 0 || check_extent(self) < 0) {
        return -1;
    }
    self->is_visited = PyMem_Calloc((size_t)self->readers + 1, 1);
    if (self->is_visited == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyObject *
Runner_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Runner *self = (Runner *)allocate(type, 0); /* zeroed */
    if (self == NULL) {
        return NULL;
    }
    atomic_init(&self->lock, 0);
    if (fill_in(self, args, keywords) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
Runner_dealloc(PyObject *object)
{
    Runner *self = (Runner *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc free_it = (freefunc)PyType_GetSlot(type, Py_tp_free);
    if (self->buffer.obj != NULL) {
        PyBuffer_Release(&self->buffer);
    }
    PyMem_Free(self->rows);
    PyMem_Free(self->is_visited);
    free_it(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(Runner_doc,
"Runner(buffer, rows, blocks, flags_offset, entry_stride, readers, own)\n--\n\n"
"An actor that runs encoded rows on the flags in a buffer: `blocks` entries, each the written flag and then `readers` read\n"
"flags, `entry_stride` bytes apart from `flags_offset` on. `own`: 0 for the writer, 1 + rank for a reader. It stands at\n"
"block 0. It holds the buffer until release(). Raises ValueError for what is no table, or lies outside of the buffer.");

static PyMethodDef runner_methods[] = {
    {"begin", Runner_begin, METH_NOARGS, begin_doc},
    {"finish", Runner_finish, METH_NOARGS, finish_doc},
    {"abort", Runner_abort, METH_NOARGS, abort_doc},
    {"where", Runner_where, METH_NOARGS, where_doc},
    {"enter", Runner_enter, METH_O, enter_doc},
    {"stop", Runner_stop, METH_NOARGS, stop_doc},
    {"step", Runner_step, METH_O, step_doc},
    {"release", Runner_release, METH_NOARGS, release_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot runner_slots[] = {
    {Py_tp_doc, (void *)Runner_doc},
    {Py_tp_new, Runner_new},
    {Py_tp_dealloc, Runner_dealloc},
    {Py_tp_methods, runner_methods},
    {0, NULL},
};

static PyType_Spec runner_spec = {
    .name = "ringbuffer.memory._native.Runner",
    .basicsize = sizeof(Runner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = runner_slots,
};

/* ---- Waiting for a word -------------------------------------------------------------------------------------------- */

/* How a wait ends. */
enum waited { WOKEN, CHANGED, TIMED_OUT, INTERRUPTED };

/* Longer waits are waits for ever: it is more than thirty years, and fits a 32-bit number of seconds. */
#define SECONDS_MAX 1e9

#ifdef __linux__

/* The words that waits and wakes are about lie in memory that several processes share, so the calls are not the cheaper
 * FUTEX_PRIVATE ones. The system call takes a pair of longs for the time, whatever the C library's timespec is. */
struct kernel_time {
    long seconds, nanoseconds;
};

static long
futex(void *word, int operation, uint32_t value, const struct kernel_time *timeout)
{
    return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

/* The value that the word must have for a wait to begin. */
static int
get_expected(PyObject *object, uint32_t *expected)
{
    const size_t value = PyLong_AsSize_t(object);
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError)) {
        return -1;
    }
    if (PyErr_Occurred() || value > UINT32_MAX) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "expected is %R, and it is a number of 32 bits, 0 or more", object);
        return -1;
    }
    *expected = (uint32_t)value;
    return 0;
}

/* Get hold of the buffer and find the word in it. On success the caller releases the buffer. */
static uint32_t *
get_word(PyObject *object, PyObject *offset_object, Py_buffer *buffer)
{
    Py_ssize_t offset;
    unsigned char *word;
    if (PyObject_GetBuffer(object, buffer, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    if (buffer->len < 4) {
        PyErr_SetString(PyExc_ValueError, "the buffer is smaller than a word of 4 bytes");
    } else if (get_size(offset_object, "offset", 0, buffer->len - 4, &offset) == 0) {
        word = (unsigned char *)buffer->buf + offset;
        if ((uintptr_t)word % 4 == 0) {
            return (uint32_t *)(void *)word;
        }
        PyErr_Format(PyExc_ValueError, "the word at offset %zd does not lie on a multiple of 4 bytes in memory", offset);
    }
    PyBuffer_Release(buffer);
    return NULL;
}

/* Whether there is an end to the wait: 1 and its time, 0 (for ever), or -1 and an error. */
static int
get_timeout(PyObject *object, struct kernel_time *timeout)
{
    double seconds;
    if (object == Py_None) {
        return 0;
    }
    seconds = PyFloat_AsDouble(object);
    if (seconds == -1.0 && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError)) {
        return -1;
    }
    if (!(seconds >= 0)) { /* written so that it catches NaN; -1 also stands for a whole number beyond every float */
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "timeout_seconds is %R, and it is None or a number of seconds, 0 or more", object);
        return -1;
    }
    if (seconds >= SECONDS_MAX) {
        return 0;
    }
    timeout->seconds = (long)seconds;
    timeout->nanoseconds = (long)((seconds - (double)timeout->seconds) * 1e9);
    return 1;
}

static PyObject *
wait_for(PyObject *const *arguments, Py_ssize_t count)
{
    Py_buffer buffer;
    struct kernel_time timeout = {0, 0};
    const int has_timeout = count < 4 ? 0 : get_timeout(arguments[3], &timeout);
    int error;
    uint32_t *word, expected;
    long status;
    if (has_timeout < 0 || get_expected(arguments[2], &expected) < 0) {
        return NULL;
    }
    word = get_word(arguments[0], arguments[1], &buffer);
    if (word == NULL) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = futex(word, FUTEX_WAIT, expected, has_timeout ? &timeout : NULL);
    error = errno;
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    if (status == 0) {
        return PyLong_FromLong(WOKEN);
    }
    switch (error) {
    case EAGAIN: return PyLong_FromLong(CHANGED);
    case ETIMEDOUT: return PyLong_FromLong(TIMED_OUT);
    case EINTR: return PyErr_CheckSignals() < 0 ? NULL : PyLong_FromLong(INTERRUPTED);
    }
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *
wake(PyObject *const *arguments)
{
    Py_buffer buffer;
    Py_ssize_t most;
    uint32_t *word;
    long woken;
    if (get_size(arguments[2], "count", 0, INT_MAX, &most) < 0) {
        return NULL;
    }
    word = get_word(arguments[0], arguments[1], &buffer);
    if (word == NULL) {
        return NULL;
    }
    woken = futex(word, FUTEX_WAKE, (uint32_t)most, NULL);
    PyBuffer_Release(&buffer);
    return woken < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(woken);
}

#else

static PyObject *
refuse_platform(void)
{
    PyErr_SetString(PyExc_NotImplementedError, "waiting for a word of memory (futex) is there on Linux only");
    return NULL;
}

static PyObject *
wait_for(PyObject *const *arguments, Py_ssize_t count)
{
    (void)arguments, (void)count;
    return refuse_platform();
}

static PyObject *
wake(PyObject *const *arguments)
{
    (void)arguments;
    return refuse_platform();
}

#endif

PyDoc_STRVAR(futex_wait_doc,
"futex_wait(buffer, offset, expected, timeout_seconds=None, /)\n--\n\n"
"Sleep while the 32-bit word at that offset is `expected`, for up to `timeout_seconds` (None: for ever).\n\n"
"Returns WOKEN (by a wake, or for no reason: look again), CHANGED (the word was another already), TIMED_OUT, or INTERRUPTED (a\n"
"signal came, and its handler has run). What a handler raises is raised. Other threads run meanwhile. A signal that comes\n"
"just before the sleep does not end it: whoever must notice signals soon, sleeps for a bounded time and looks again.");

static PyObject *
futex_wait(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3 && count != 4) {
        PyErr_Format(PyExc_TypeError, "futex_wait takes 3 or 4 arguments, and not %zd", count);
        return NULL;
    }
    return wait_for(arguments, count);
}

PyDoc_STRVAR(futex_wake_doc,
"futex_wake(buffer, offset, count, /)\n--\n\n"
"Wake up to `count` of those who wait for the word at that offset, in whatever process. Returns how many there were.");

static PyObject *
futex_wake(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_Format(PyExc_TypeError, "futex_wake takes 3 arguments, and not %zd", count);
        return NULL;
    }
    return wake(arguments);
}

/* ---- The module ---------------------------------------------------------------------------------------------------- */

static int
add_codes(PyObject *module)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {
        {"load", LOAD}, {"store", STORE}, {"exchange", EXCHANGE}, {"fence", FENCE}, {"fill", FILL}, {"read", READ},
        {"plain", PLAIN}, {"relaxed", RELAXED}, {"acquire", ACQUIRE}, {"release", RELEASE}, {"acq_rel", ACQ_REL},
        {"seq_cst", SEQ_CST}, {"written", WRITTEN}, {"read[r]", OWN}, {"read[*]", EACH}, {"read[r+1]", NEIGHBOUR},
        {"read[*-1]", BUT_LAST}, {"lock", LOCK}, {"0", ZERO}, {"1", ONE}, {"done", DONE}, {"aborted", ABORTED},
        {"forward", FORWARD}, {"waited", WAITED}, {"restarted", RESTARTED}, {"finished", FINISHED},
    };
    PyObject *names = PyDict_New(), *code;
    int status = names == NULL ? -1 : 0;
    for (size_t number = 0; status == 0 && number < sizeof(codes) / sizeof(codes[0]); number++) {
        code = PyLong_FromLong(codes[number].code);
        status = code == NULL ? -1 : PyDict_SetItemString(names, codes[number].name, code);
        Py_XDECREF(code);
    }
    status = status < 0 ? -1 : PyModule_AddObjectRef(module, "CODES", names);
    Py_XDECREF(names);
    return status;
}

static int
execute(PyObject *module)
{
    static const struct {
        const char *name;
        int value;
    } constants[] = {
        {"WAIT", WAIT}, {"FOUND", FOUND}, {"ENDED", ENDED}, {"GOING", GOING}, {"WOKEN", WOKEN}, {"CHANGED", CHANGED},
        {"TIMED_OUT", TIMED_OUT}, {"INTERRUPTED", INTERRUPTED}, {"ACCESSES_BETWEEN_SIGNALS", ACCESSES_BETWEEN_SIGNALS},
    };
    PyObject *type = PyType_FromModuleAndSpec(module, &runner_spec, NULL);
    int status = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    for (size_t number = 0; status == 0 && number < sizeof(constants) / sizeof(constants[0]); number++) {
        status = PyModule_AddIntConstant(module, constants[number].name, constants[number].value);
    }
    return status < 0 ? -1 : add_codes(module);
}

static PyMethodDef module_methods[] = {
    {"futex_wait", (PyCFunction)(void (*)(void))futex_wait, METH_FASTCALL, futex_wait_doc},
    {"futex_wake", (PyCFunction)(void (*)(void))futex_wake, METH_FASTCALL, futex_wake_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ringbuffer.memory._native",
    .m_doc = "Rows, executed on shared memory with the orderings that they name; waiting for a word, and waking.",
    .m_size = 0,
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
