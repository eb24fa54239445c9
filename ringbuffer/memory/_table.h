/* A table of rows, out of the numbers that Python passes (encoding.py): read, and checked, before anything is done with it.
 *
 * Rules: what is no table is a ValueError that says which row it is and why, or a TypeError. A part of _native.c.
 */

#ifndef RINGBUFFER_TABLE_H
#define RINGBUFFER_TABLE_H

#include <Python.h>

#include "_rows.h"

enum { ROWS_MAX = 1024, MISSING_MAX = 1 << 16, ADVANCE_MAX = 255 };

/* The fields of a row, in the order in which they are passed. */
enum { FIELDS_BEFORE_BRANCHES = 5, FIELDS_OF_A_BRANCH = 3, FIELDS = FIELDS_BEFORE_BRANCHES + OUTCOMES * FIELDS_OF_A_BRANCH };

#define BIT(number) (1u << (number))
#define FLAGS_OF_BLOCKS (BIT(WRITTEN) | BIT(OWN) | BIT(EACH) | BIT(NEIGHBOUR) | BIT(BUT_LAST))
#define WORDS (BIT(AWAKE) | BIT(OTHERS_AWAKE))

/* Which orderings C11 allows for an access of each kind (for a fence: those that do something), to which flags it may be, and
 * what comes of it. A position is only ever stored; one sleeps on one's own word. */
static const struct {
    unsigned orderings, flags, outcomes;
} RULES[KINDS] = {
    [LOAD] = {BIT(RELAXED) | BIT(ACQUIRE) | BIT(SEQ_CST), FLAGS_OF_BLOCKS | BIT(LOCK) | WORDS, BIT(ZERO) | BIT(ONE)},
    [STORE] = {BIT(RELAXED) | BIT(RELEASE) | BIT(SEQ_CST), FLAGS_OF_BLOCKS | BIT(LOCK) | WORDS | BIT(POSITION), BIT(DONE)},
    [EXCHANGE] =
        {BIT(RELAXED) | BIT(ACQUIRE) | BIT(RELEASE) | BIT(ACQ_REL) | BIT(SEQ_CST), FLAGS_OF_BLOCKS | BIT(LOCK) | WORDS, BIT(DONE)},
    [FENCE] = {BIT(ACQUIRE) | BIT(RELEASE) | BIT(ACQ_REL) | BIT(SEQ_CST), BIT(NOTHING), BIT(DONE)},
    [FILL] = {BIT(PLAIN), BIT(NOTHING), BIT(DONE) | BIT(ABORTED)},
    [READ] = {BIT(PLAIN), BIT(NOTHING), BIT(DONE) | BIT(ABORTED)},
    [SLEEP] = {BIT(RELAXED), BIT(AWAKE), BIT(DONE)},
    [WAKE] = {BIT(RELAXED), WORDS, BIT(DONE)},
};

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
check_row(const Actor *self, Py_ssize_t pc, const Row *row)
{
    if (!(RULES[row->kind].orderings & BIT(row->ordering))) {
        return refuse_row(pc, "an access of this kind has no such ordering");
    }
    if (!(RULES[row->kind].flags & BIT(row->flag))) {
        return refuse_row(pc, row->flag == NOTHING ? "an access names a flag" : "an access of this kind cannot be to that flag");
    }
    if ((row->flag == OWN || row->flag == NEIGHBOUR) && self->own == 0) {
        return refuse_row(pc, "the writer has no read flag of its own, and no neighbour");
    }
    for (int outcome = 0; outcome < OUTCOMES; outcome++) {
        const Branch *branch = &row->branches[outcome];
        if ((branch->edge != NONE) != !!(RULES[row->kind].outcomes & BIT(outcome))) {
            return refuse_row(pc, "it must have branches for just the outcomes that its access has");
        }
        if (branch->edge == RETURNED && branch->pc != 0) {
            return refuse_row(pc, "an actor that returns goes to the first row");
        }
    }
    return 0;
}

/* Where waiting leads, which is one place for all rows. */
static int
find_rest(Actor *self)
{
    int has_waited = 0;
    for (int pc = 0; pc < self->row_count; pc++) {
        for (int outcome = 0; outcome < OUTCOMES; outcome++) {
            const Branch *branch = &self->rows[pc].branches[outcome];
            if (branch->edge == WAITED && has_waited && branch->pc != self->rests_at) {
                return refuse_row(pc, "waiting leads to one place, and this row leads to another than those before");
            }
            if (branch->edge == WAITED) {
                has_waited = 1;
                self->rests_at = branch->pc;
            }
        }
    }
    return 0;
}

static int
read_rows(Actor *self, PyObject *object)
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
        place(self, row);
        if (row->kind == FILL || row->kind == READ) {
            payloads += 1;
            self->payload_pc = (int)pc;
        }
    }
    if (payloads != 1) {
        PyErr_Format(PyExc_ValueError, "a table has one row in which the block is the caller's, and not %d", payloads);
        goto done;
    }
    status = find_rest(self);
done:
    Py_DECREF(tuple);
    return status;
}

#endif
