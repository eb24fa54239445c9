/* A runner: an actor on a segment, as an object of Python's, and how it runs its rows, recorded or not.
 *
 * A part of _native.c, whose rules and limits it has.
 */

#ifndef RINGBUFFER_RUNNER_H
#define RINGBUFFER_RUNNER_H

#include <Python.h>

#include <string.h>
#include <unistd.h>
#include "_recording.h"
#include "_rows.h"
#include "_table.h"

enum { ACCESSES_BETWEEN_SIGNALS = 1 << 14 };

/* The kinds of messages that are sent and received in one call, and the only part that such a message has: the first and the
 * last. The values of codec/frames.py. */
enum { KIND_PICKLE = 1, KIND_BYTES = 2, KIND_TENSOR = 4, WHOLE = 3 };

/* Kinds are small: whole() gives one beside a length. */
enum { KIND_BITS = 8, KINDS_MAX = 1 << KIND_BITS };

/* A longer pickle is not copied: its caller decodes it in its block. */
enum { COPY_MAX_BYTES = 16 << 10 };

/* A message in more pieces is not sent in one call. */
enum { PIECES_MAX = 16 };

/* From here on other threads run while a message is copied. */
enum { COPY_ALONE_BYTES = 256 << 10 };

/* What stands before the payload of each block, little-endian: layout.py has its size. */
typedef struct {
    uint64_t sequence, length;
    uint32_t kind, part;
    uint64_t total;
} Frame;
_Static_assert(sizeof(Frame) == 32, "a frame has 32 bytes and no gaps");

typedef struct {
    PyObject_HEAD
    Py_buffer buffer; /* the segment; buffer.obj is NULL when it was released */
    Actor actor;
    Py_ssize_t data_offset, block_stride, chunk_bytes;
    PyObject *pending;      /* a message that is marked as read, and was not given away, or NULL */
    long pending_kind;
    PyObject *decode_tensor; /* makes a tensor on a bytearray of its own, or NULL: then tensors are left to the caller */
    int result;             /* why receive() had nothing to return */
    Py_ssize_t spin_count;  /* how often send() and receive() look again at once */
    double yield_seconds;   /* and for how long they then look between yields */
    double began;           /* when the last of them began to look again, on the monotonic clock */
    pid_t pid;              /* who made it: a forked child inherits is_busy, but not the thread that is inside */
    char is_busy, is_asleep; /* inside a call that lets others run; of these: asleep on its word */
    char in_use;            /* its caller says so */
    _Atomic char is_roused; /* the present or next rest ends at once, and so does looking between yields */
    char has_sought, is_cancelled; /* send() or receive() has looked again, in vain by now; somebody has cancelled that since */
    char is_recorded;       /* what it does is written down */
    Tape tape;              /* where */
} Runner;

/* How to sleep, and what came of it. */
typedef struct {
    const struct kernel_time *timeout;
    int error;
} Sleep;

/* ---- Running ------------------------------------------------------------------------------------------------------- */

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

static uint32_t *
own_word(const Runner *self)
{
    const Actor *actor = &self->actor;
    return (uint32_t *)(void *)(actor->base + actor->awake_offset + 4 * actor->own);
}

/* Sleep while the own word is 0. From the look at is_roused until others run nobody can rouse; from there on the word changes
 * when somebody does, so that the kernel does not lie down. */
static void
lie_down(Runner *self, Sleep *sleep)
{
    if (self->is_roused) {
        return;
    }
    self->is_busy = self->is_asleep = 1;
    Py_BEGIN_ALLOW_THREADS
    sleep->error = sleep_on(own_word(self), 0, sleep->timeout);
    Py_END_ALLOW_THREADS
    self->is_busy = self->is_asleep = 0;
}

static unsigned char *
current_frame(const Runner *self)
{
    return self->actor.base + self->data_offset + self->actor.index * self->block_stride;
}

/* What the current block holds: the low half of its number in the stream, and a digest of frame and payload. */
static uint64_t
digest(const Runner *self)
{
    const unsigned char *frame = current_frame(self);
    Frame header;
    uint64_t length;
    memcpy(&header, frame, sizeof(header));
    length = LITTLE_64(header.length);
    length = length > (uint64_t)self->chunk_bytes ? (uint64_t)self->chunk_bytes : length;
    return (LITTLE_64(header.sequence) & 0xFFFFFFFFu) << 32 | crc32_of(frame, sizeof(header) + (size_t)length);
}

/* What run() does, written down, or, without Python, look(). (Kept out of them, where every call would pay for it.) */
static __attribute__((noinline, cold)) int
run_recorded(Runner *self, int call, Sleep *sleep, int with_python)
{
    Actor *actor = &self->actor;
    Tape *tape = &self->tape;
    const off_t window = tape->start;
    const size_t began = tape->at;
    int result, left = ACCESSES_BETWEEN_SIGNALS;
    if (call == FINISH || (call == ABORT && actor->is_held)) { /* giving up what one does not hold does nothing */
        tape_write(tape, actor->payload_pc, call == ABORT, actor->index, call == ABORT ? 0 : digest(self));
    }
    result = enter(actor, call);
    while (result == GOING) {
        const int pc = actor->pc;
        const ptrdiff_t block = actor->index, rank = actor->visited;
        Did did = {-1, 0};
        if (left-- == 0) {
            if (!with_python || let_others_run(self) < 0) {
                tape_write(tape, INTERRUPTED_PC, 0, block, 0);
                actor->is_going = 0;
                return with_python ? -1 : WAIT;
            }
            left = ACCESSES_BETWEEN_SIGNALS;
        }
        if (sleep != NULL && actor->rows[pc].kind == SLEEP) {
            lie_down(self, sleep);
            result = take(actor, DONE);
        } else {
            result = visit(actor, rank, &did);
        }
        tape_write(tape, pc, rank, block, did.value < 0 ? 0 : (uint64_t)did.value);
    }
    if (call == BEGIN && result == WAIT) {
        tape_looked(tape, window, began);
    }
    return result;
}

/* Run a call to its end: its result, or -1 and an error. Without `sleep` nobody lies down. */
static int
run(Runner *self, int call, Sleep *sleep)
{
    Actor *actor = &self->actor;
    Did did;
    int result, left = ACCESSES_BETWEEN_SIGNALS;
    if (__builtin_expect(self->is_recorded, 0)) {
        return run_recorded(self, call, sleep, 1);
    }
    result = enter(actor, call);
    while (result == GOING) {
        if (left-- == 0) {
            if (let_others_run(self) < 0) {
                actor->is_going = 0;
                return -1;
            }
            left = ACCESSES_BETWEEN_SIGNALS;
        }
        if (sleep != NULL && actor->rows[actor->pc].kind == SLEEP) {
            lie_down(self, sleep);
            result = take(actor, DONE);
        } else {
            result = visit(actor, actor->visited, &did);
        }
    }
    return result;
}

static PyObject *
run_alone(PyObject *object, int call)
{
    Runner *self = (Runner *)object;
    const int result = check_usable(self) < 0 ? -1 : run(self, call, NULL);
    return result < 0 ? NULL : PyLong_FromLong(result);
}

PyDoc_STRVAR(begin_doc, "Run from the first row to the caller's part (FOUND), to waiting (WAIT) or to the end (ENDED).");

static PyObject *
Runner_begin(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return run_alone(self, BEGIN);
}

PyDoc_STRVAR(finish_doc, "The caller's part is done: run from there to the end of the table.");

static PyObject *
Runner_finish(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return run_alone(self, FINISH);
}

PyDoc_STRVAR(abort_doc, "The caller has given its part up: run from there.");

static PyObject *
Runner_abort(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return run_alone(self, ABORT);
}

PyDoc_STRVAR(where_doc, "The index of the current block.");

static PyObject *
Runner_where(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSsize_t(((Runner *)self)->actor.index);
}

PyDoc_STRVAR(done_doc, "How many blocks the actor is done with, which is the number of the current one.");

static PyObject *
Runner_done(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(((Runner *)self)->actor.done);
}

PyDoc_STRVAR(resume_doc, "Stand at the block after so many, in the ring's order, and note that number as the position.");

static PyObject *
Runner_resume(PyObject *object, PyObject *number)
{
    Runner *self = (Runner *)object;
    Actor *actor = &self->actor;
    unsigned long long done;
    if (check_usable(self) < 0) {
        return NULL;
    }
    done = PyLong_AsUnsignedLongLong(number);
    if (done == (unsigned long long)-1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "a number of blocks is 0 or more and has 64 bits, and not %R", number);
        }
        return NULL;
    }
    actor->done = done;
    actor->index = (Py_ssize_t)(done % (unsigned long long)actor->blocks);
    actor->is_going = actor->is_held = 0;
    note_position(actor, done, RELEASE);
    Py_RETURN_NONE;
}

#endif
