/* Rows, executed on shared memory: what Python cannot say about an access, its ordering, and how to sleep until another comes.
 *
 * A Runner is handed a table of rows as numbers (ringbuffer/memory/encoding.py prints it, and says what each number means) and
 * does what they say to the flags, words and positions of a segment. It knows rows, not the protocol: which row comes when, in
 * which ordering, and where it leads, are all in the table. `send` and `receive` run rows and copy a message in one call, for
 * the most common messages; for all others there are the calls of which they are made: begin, finish and abort. Two functions
 * wait for a 32-bit word and wake those who wait for it (futex).
 *
 * The parts: _rows.h (accesses, and going from row to row), _futex.h (the system call), _table.h (rows out of numbers),
 * _words.h (futexes for Python), _recording.h (what an actor does, written down), and here the object and its methods.
 *
 * Rules
 * - Every access to a flag is one C11 atomic access of one byte (to a word who is awake, of four; to a position, of eight), in
 *   the ordering of its row. Several read flags are several accesses, in the order of the ranks; a stepped runner visits them in
 *   the order that it is told.
 * - The payload is plain memory. Outside of send and receive its caller reads and writes it between two calls of the runner,
 *   which no compiler sees through; what orders it against other processes are the rows before and behind.
 * - An access and the move of the index that belongs to it happen in one call, during which no Python code runs: an interrupt
 *   comes before both or after both. A message that was received is kept in `pending` until the caller says that it has it.
 *   The one exception is a table that runs in circles (an edited one): every ACCESSES_BETWEEN_SIGNALS accesses the runner lets
 *   other threads and signal handlers run, so that it can be interrupted.
 * - While other threads run (large copies, sleeping, decoding) the runner refuses all but being roused.
 * - Arguments are checked before anything is done. Nothing that is passed in can make this module touch memory outside of the
 *   buffer; what it refuses is a ValueError (or a TypeError). What other processes write there is never trusted, either.
 *
 * Limits: a flag byte other than 0 and 1 is damage, and is neither repaired nor reported here. It counts as not 0 where one
 * flag is loaded, and as not 1 where several are, so that nobody takes a damaged block for free, and whoever has a damaged word
 * is woken. Futexes are Linux's.
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

#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "_recording.h"
#include "_rows.h"
#include "_table.h"
#include "_words.h"

enum { ACCESSES_BETWEEN_SIGNALS = 1 << 14 };

/* The kinds of messages that are sent and received in one call, and the only part that such a message has: the first and the
 * last. The values of codec/frames.py. */
enum { KIND_PICKLE = 1, KIND_BYTES = 2, WHOLE = 3 };

/* A longer pickle is not copied: its caller decodes it in its block. */
enum { COPY_MAX_BYTES = 16 << 10 };

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
    PyObject *pending;      /* a message that is marked as read, and that the caller has not taken yet, or NULL */
    long pending_kind;
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

/* ---- Sleeping ------------------------------------------------------------------------------------------------------ */

PyDoc_STRVAR(rest_doc,
"rest(timeout_seconds, /)\n--\n\n"
"Run from where waiting leads: lie down, and sleep for up to so many seconds (None: for ever) while the own word is 0.\n\n"
"Returns FOUND (looking again has found the block: it is the caller's) or ENDED (look again). What a signal handler raises is\n"
"raised when the actor has got up. A signal that comes just before the sleep does not end it: whoever must notice signals soon,\n"
"rests for a bounded time and again.");

static PyObject *
Runner_rest(PyObject *object, PyObject *timeout_seconds)
{
    Runner *self = (Runner *)object;
    struct kernel_time timeout = {0, 0};
    const int has_timeout = get_timeout(timeout_seconds, &timeout);
    Sleep sleep = {has_timeout ? &timeout : NULL, 0};
    int result;
    if (has_timeout < 0 || check_usable(self) < 0) {
        return NULL;
    }
    if (self->actor.rests_at == 0) {
        PyErr_SetString(PyExc_ValueError, "in this table no row lies down: look again instead");
        return NULL;
    }
    result = self->is_roused ? ENDED : run(self, REST, &sleep);
    self->is_roused = 0;
    if (result < 0) {
        return NULL;
    }
    if (sleep.error == EINTR && PyErr_CheckSignals() < 0) {
        self->actor.is_held = 0;
        return NULL;
    }
    if (sleep.error != 0 && sleep.error != EAGAIN && sleep.error != ETIMEDOUT && sleep.error != EINTR) {
        errno = sleep.error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(result);
}

PyDoc_STRVAR(rouse_doc, "From any thread: end the present rest at once, or the next one if none is on.");

static PyObject *
Runner_rouse(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    Runner *self = (Runner *)object;
    self->is_roused = 1;
    if (self->is_asleep && self->pid == getpid()) { /* just before the kernel, or in it */
        store_word((Word *)own_word(self), 1, RELAXED);
        wake_up(own_word(self), INT_MAX);
    }
    Py_RETURN_NONE;
}

/* ---- Looking again ------------------------------------------------------------------------------------------------- */

/* Whether a message can be sent or received now: nobody is inside, no block is out, and there is a segment. */
static int
is_available(const Runner *self)
{
    return !self->in_use && !self->is_busy && !self->actor.is_held && self->buffer.obj != NULL;
}

/* Tell the processor that somebody looks again and again: it then leaves the other side more of what they share. */
static void
take_breath(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static double
now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Look once, without Python: a table that runs in circles (an edited one) has then found nothing. */
static int
look(Runner *self)
{
    Actor *actor = &self->actor;
    Did did;
    int result;
    if (__builtin_expect(self->is_recorded, 0)) {
        return run_recorded(self, BEGIN, NULL, 0);
    }
    result = enter(actor, BEGIN);
    for (int left = ACCESSES_BETWEEN_SIGNALS; result == GOING && left > 0; left--) {
        result = visit(actor, actor->visited, &did);
    }
    actor->is_going = 0;
    return result == GOING ? WAIT : result;
}

/* Look again and again, with the processor given away in between. Other threads run meanwhile, and find the runner busy. */
static int
look_between_yields(Runner *self, double until)
{
    int result;
    self->is_busy = 1;
    Py_BEGIN_ALLOW_THREADS
    do {
        sched_yield();
        result = look(self);
    } while (result == WAIT && !self->is_roused && now_seconds() < until);
    Py_END_ALLOW_THREADS
    self->is_busy = 0;
    return result;
}

/* Look for the block: at once, again so many times, and then for so long between yields from `began` on. FOUND: it is held. */
static int
seek(Runner *self, Py_ssize_t spins, double began, double yield_seconds)
{
    int result = look(self);
    for (; spins > 0 && result == WAIT; spins--) {
        take_breath();
        result = look(self);
    }
    return result == WAIT && yield_seconds > 0 && !self->is_roused ? look_between_yields(self, began + yield_seconds) : result;
}

/* The block is busy: look again for so long, on behalf of send() and receive(). FOUND: it is held. */
static int
wait_a_little(Runner *self, double yield_seconds)
{
    int result;
    if (yield_seconds <= 0) {
        self->has_sought = 0;
        return seek(self, self->spin_count, 0, 0);
    }
    self->began = now_seconds();
    self->is_cancelled = 0;
    self->has_sought = 1; /* from here on it can be cancelled */
    result = seek(self, self->spin_count, self->began, yield_seconds);
    self->has_sought = result == WAIT;
    return result;
}

static int
get_seconds(PyObject *object, double *seconds)
{
    *seconds = PyFloat_AsDouble(object);
    return *seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* How long to look between yields: no longer than the time-out, which is the last argument of a call, if it was passed. */
static int
get_window(const Runner *self, PyObject *const *arguments, Py_ssize_t count, Py_ssize_t at, double *yield_seconds)
{
    double timeout;
    *yield_seconds = self->yield_seconds;
    if (count <= at || arguments[at] == Py_None) {
        return 0;
    }
    if (get_seconds(arguments[at], &timeout) < 0) {
        return -1;
    }
    *yield_seconds = timeout < *yield_seconds ? timeout : *yield_seconds;
    return 0;
}

PyDoc_STRVAR(seek_doc,
"seek(spin_count, yield_seconds, is_callers=False, /)\n--\n\n"
"Look for the block: at once, again so many times, and then for so long with the processor given away between two looks.\n\n"
"Returns FOUND (it is not held: the next call finds it again), WAIT, or BUSY, as send() does; with `is_callers`, it is the\n"
"caller who has set is_in_use. Other threads run meanwhile.");

static PyObject *
Runner_seek(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Runner *self = (Runner *)object;
    Py_ssize_t spins;
    double yield_seconds;
    int result, is_callers;
    if (count != 2 && count != 3) {
        return PyErr_Format(PyExc_TypeError, "seek takes 2 or 3 arguments, and not %zd", count);
    }
    is_callers = count == 3 ? PyObject_IsTrue(arguments[2]) : 0;
    if (is_callers < 0) {
        return NULL;
    }
    if (get_seconds(arguments[1], &yield_seconds) < 0 ||
        get_size(arguments[0], "spin_count", 0, PY_SSIZE_T_MAX, &spins) < 0) {
        return NULL;
    }
    is_callers = is_callers && !self->is_busy && !self->actor.is_held && self->buffer.obj != NULL;
    if (!is_callers && !is_available(self)) {
        return PyLong_FromLong(BUSY);
    }
    result = seek(self, spins, now_seconds(), yield_seconds);
    self->actor.is_held = 0;
    return PyLong_FromLong(result);
}

/* ---- Messages ------------------------------------------------------------------------------------------------------ */

/* Whether the caller's part is of that kind. */
static int
check_side(const Runner *self, int kind, const char *why)
{
    if (self->actor.rows[self->actor.payload_pc].kind != kind) {
        PyErr_SetString(PyExc_ValueError, why);
        return -1;
    }
    return 0;
}

static void
copy(Runner *self, void *to, const void *from, size_t length)
{
    if (length < COPY_ALONE_BYTES) {
        memmove(to, from, length);
        return;
    }
    self->is_busy = 1;
    Py_BEGIN_ALLOW_THREADS
    memmove(to, from, length);
    Py_END_ALLOW_THREADS
    self->is_busy = 0;
}

static int
send_whole(Runner *self, uint32_t kind, const Py_buffer *data, double yield_seconds)
{
    const uint64_t length = (uint64_t)data->len;
    unsigned char *frame;
    int result;
    if (!is_available(self)) {
        return BUSY;
    }
    if (data->len > self->chunk_bytes) {
        return TOO_LARGE;
    }
    result = run(self, BEGIN, NULL);
    if (result == WAIT) {
        result = wait_a_little(self, yield_seconds);
    }
    if (result != FOUND) {
        return result;
    }
    const Frame header = {LITTLE_64(self->actor.done), LITTLE_64(length), LITTLE_32(kind), LITTLE_32((uint32_t)WHOLE),
                          LITTLE_64(length)};
    frame = current_frame(self);
    memcpy(frame, &header, sizeof(header));
    copy(self, frame + sizeof(header), data->buf, (size_t)data->len);
    return run(self, FINISH, NULL) < 0 ? -1 : FOUND;
}

PyDoc_STRVAR(send_doc,
"send(kind, data, timeout=None, /)\n--\n\n"
"Write `data` (any contiguous buffer) into the current block, as a message of one part, and run all rows.\n\n"
"Where the block is busy, look again `spin_count` times, and then for `yield_seconds` (or `timeout`, if that is less) with the\n"
"processor given away between two looks; other threads run meanwhile. Returns FOUND (it is sent), WAIT (the block is busy), TOO_LARGE, or BUSY (a block is out, or\n"
"somebody is inside); of these only the first has done anything.");

static PyObject *
Runner_send(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Py_buffer data;
    uint32_t kind;
    double yield_seconds;
    int result;
    if (count != 2 && count != 3) {
        return PyErr_Format(PyExc_TypeError, "send takes 2 or 3 arguments, and not %zd", count);
    }
    if (check_side((Runner *)object, FILL, "in this table the caller reads: there is nothing to send") < 0) {
        return NULL;
    }
    if (get_window((Runner *)object, arguments, count, 2, &yield_seconds) < 0 || get_word_value(arguments[0], "kind", &kind) < 0 ||
        PyObject_GetBuffer(arguments[1], &data, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    result = send_whole((Runner *)object, kind, &data, yield_seconds);
    PyBuffer_Release(&data);
    return result < 0 ? NULL : PyLong_FromLong(result);
}

/* Whether the frame is that of the next message, in one part, of a kind that is returned here. */
static int
is_plain(const Runner *self, const Frame *frame, PyObject *decode)
{
    const uint32_t kind = LITTLE_32(frame->kind);
    const uint64_t length = LITTLE_64(frame->length);
    if (LITTLE_64(frame->sequence) != self->actor.done || LITTLE_32(frame->part) != WHOLE || frame->total != frame->length ||
        length > (uint64_t)self->chunk_bytes) {
        return 0;
    }
    return kind == KIND_BYTES || (kind == KIND_PICKLE && length <= COPY_MAX_BYTES && decode != Py_None);
}

/* Copy the message out of its block, mark it as read, and keep it. FOUND: it is not one for that. */
static int
take_out(Runner *self, PyObject *decode, double yield_seconds)
{
    Frame frame;
    PyObject *data;
    int result = run(self, BEGIN, NULL);
    if (result == WAIT) {
        result = wait_a_little(self, yield_seconds);
    }
    if (result != FOUND) {
        return result;
    }
    memcpy(&frame, current_frame(self), sizeof(frame)); /* once: others can write there */
    if (!is_plain(self, &frame, decode)) {
        return FOUND;
    }
    data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)LITTLE_64(frame.length));
    if (data == NULL) {
        self->actor.is_held = 0; /* the next look finds the block again */
        return -1;
    }
    copy(self, PyBytes_AsString(data), current_frame(self) + sizeof(frame), (size_t)PyBytes_Size(data));
    if (run(self, FINISH, NULL) < 0) {
        Py_DECREF(data);
        return -1;
    }
    self->pending = data;
    self->pending_kind = (long)LITTLE_32(frame.kind);
    return ENDED;
}

static PyObject *
decoded(Runner *self, PyObject *decode)
{
    PyObject *object, *data = self->pending;
    Py_INCREF(data);
    if (self->pending_kind == KIND_BYTES) {
        return data;
    }
    self->is_busy = 1; /* decoding runs Python code, and so others */
    object = PyObject_CallFunctionObjArgs(decode, data, NULL);
    self->is_busy = 0;
    Py_DECREF(data);
    return object;
}

PyDoc_STRVAR(receive_doc,
"receive(decode, timeout=None, /)\n--\n\n"
"The next message, marked as read: its bytes, or what `decode` makes of them where they are a pickle.\n\n"
"Where the block is busy, it looks again as send() does. The message stays in `pending` as well, and comes again, until that is set to None. Returns the runner itself when there is nothing to\n"
"return, and then `result` says why: WAIT (the block is busy), BUSY (a block is out, or somebody is inside), FOUND (the block is\n"
"the caller's, who must look at it himself: no message of one part, or not the next one, or too long for this way; or, where\n"
"`pending` is set, that is a pickle, and `decode` is None).");

static PyObject *
Runner_receive(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Runner *self = (Runner *)object;
    PyObject *decode;
    double yield_seconds;
    int result = BUSY;
    if (count != 1 && count != 2) {
        return PyErr_Format(PyExc_TypeError, "receive takes 1 or 2 arguments, and not %zd", count);
    }
    decode = arguments[0];
    if (get_window(self, arguments, count, 1, &yield_seconds) < 0) {
        return NULL;
    }
    if (check_side(self, READ, "in this table the caller writes: there is nothing to receive") < 0) {
        return NULL;
    }
    if (is_available(self)) {
        result = self->pending == NULL ? take_out(self, decode, yield_seconds) : ENDED;
        if (result < 0) {
            return NULL;
        }
        if (self->pending != NULL && (self->pending_kind == KIND_BYTES || decode != Py_None)) {
            return decoded(self, decode);
        }
        result = self->pending != NULL ? FOUND : result;
    }
    self->result = result;
    Py_INCREF(object);
    return object;
}

/* ---- Stepping ------------------------------------------------------------------------------------------------------ */

PyDoc_STRVAR(enter_doc,
"Stand before the first access of the call named 'begin', 'finish', 'abort' or 'rest', and make none.\n\n"
"Returns GOING, or how the call ends where it makes no access.");

static PyObject *
Runner_enter(PyObject *object, PyObject *name)
{
    Runner *self = (Runner *)object;
    static const struct {
        const char *name;
        int call;
    } calls[] = {{"begin", BEGIN}, {"finish", FINISH}, {"abort", ABORT}, {"rest", REST}};
    if (check_usable(self) < 0) {
        return NULL;
    }
    for (size_t number = 0; PyUnicode_Check(name) && number < sizeof(calls) / sizeof(calls[0]); number++) {
        if (PyUnicode_CompareWithASCIIString(name, calls[number].name) == 0) {
            return PyLong_FromLong(enter(&self->actor, calls[number].call));
        }
    }
    PyErr_Format(PyExc_ValueError, "a call is 'begin', 'finish', 'abort' or 'rest', and not %R", name);
    return NULL;
}

static int
check_going(Runner *self)
{
    if (check_usable(self) < 0) {
        return -1;
    }
    if (!self->actor.is_going) {
        PyErr_SetString(PyExc_ValueError, "this runner stands before no access: enter a call first");
        return -1;
    }
    return 0;
}

/* Of several flags: the flags that are left to visit, all of them when the row begins. */
static Py_ssize_t
begin_to_visit(Actor *self, const Row *row)
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
    Actor *actor = &self->actor;
    const Row *row;
    PyObject *ranks, *tuple, *number;
    int status;
    if (check_going(self) < 0) {
        return NULL;
    }
    row = &actor->rows[actor->pc];
    if (!is_several(row)) {
        return Py_BuildValue("in(i)", actor->pc, actor->index, 0);
    }
    ranks = PyList_New(0);
    if (ranks == NULL) {
        return NULL;
    }
    for (Py_ssize_t rank = 0, count = begin_to_visit(actor, row); rank < count; rank++) {
        if (!actor->is_visited[rank]) {
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
    return tuple == NULL ? NULL : Py_BuildValue("inN", actor->pc, actor->index, tuple);
}

PyDoc_STRVAR(step_doc,
"Make one access: the one before which the runner stands; of several flags, to that of the given rank.\n\n"
"Returns GOING or how the call has ended, the offset in the buffer of the byte that was touched (-1: none of the buffer), and\n"
"the value that was loaded or stored (the old one of an exchange; -1: no access). Nobody lies down: of a sleep the value is 0 if\n"
"the kernel would, and 1 if not; of a wake it is how many were woken. Raises ValueError for a rank that is not left.");

static PyObject *
Runner_step(PyObject *object, PyObject *argument)
{
    Runner *self = (Runner *)object;
    Actor *actor = &self->actor;
    Py_ssize_t rank = PyNumber_AsSsize_t(argument, PyExc_ValueError);
    Did did;
    int result;
    if ((rank == -1 && PyErr_Occurred()) || check_going(self) < 0) {
        return NULL;
    }
    if (is_several(&actor->rows[actor->pc])) {
        const Py_ssize_t count = begin_to_visit(actor, &actor->rows[actor->pc]);
        if (count > 0) {
            if (rank < 0 || rank >= count || actor->is_visited[rank]) {
                PyErr_Format(PyExc_ValueError, "rank %zd is not one of those left to visit", rank);
                return NULL;
            }
            actor->is_visited[rank] = 1;
        }
    }
    result = visit(actor, rank, &did);
    return Py_BuildValue("inL", result, did.offset, did.value);
}

/* ---- Recording ----------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(record_doc,
"record(fd, offset, /)\n--\n\n"
"From here on write down, in that file from that offset on, what each row does. Its first WINDOW_BYTES are reserved and mapped,\n"
"and `offset` lies in them. Raises OSError, and then nothing is recorded.");

static PyObject *
Runner_record(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Runner *self = (Runner *)object;
    Py_ssize_t fd, offset;
    if (count != 2) {
        return PyErr_Format(PyExc_TypeError, "record takes 2 arguments, and not %zd", count);
    }
    if (get_size(arguments[0], "fd", 0, INT_MAX, &fd) < 0 ||
        get_size(arguments[1], "offset", 0, WINDOW_BYTES - RECORD_BYTES, &offset) < 0 || check_usable(self) < 0) {
        return NULL;
    }
    if (offset % RECORD_BYTES != 0 || self->tape.fd >= 0) {
        PyErr_SetString(PyExc_ValueError, "records lie on multiples of their size, and a runner is recorded once");
        return NULL;
    }
    if (tape_open(&self->tape, (int)fd, (size_t)offset) < 0) {
        errno = self->tape.error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    self->is_recorded = 1;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(recorded_doc,
"Stop recording: the offset behind the last record, and the number of the error that has ended it before (0: none). None if\n"
"nothing was recorded.");

static PyObject *
Runner_recorded(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    Runner *self = (Runner *)object;
    const long long end = (long long)self->tape.start + (long long)self->tape.at;
    if (self->tape.fd < 0) {
        Py_RETURN_NONE;
    }
    self->is_recorded = 0;
    tape_close(&self->tape);
    return Py_BuildValue("Li", end, self->tape.error);
}

PyDoc_STRVAR(release_doc, "Let go of the buffer; the runner cannot run any more. Again does nothing.");

static PyObject *
Runner_release(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    Runner *self = (Runner *)object;
    if (self->buffer.obj != NULL) {
        self->is_busy = self->is_busy && self->pid == getpid();
        if (check_usable(self) < 0) {
            return NULL;
        }
        PyBuffer_Release(&self->buffer); /* sets buffer.obj to NULL */
    }
    Py_RETURN_NONE;
}

/* ---- Its attributes ------------------------------------------------------------------------------------------------ */

static PyObject *
get_in_use(PyObject *object, void *Py_UNUSED(closure))
{
    const Runner *self = (Runner *)object;
    return PyBool_FromLong(self->in_use || self->is_busy);
}

static int
refuse_deletion(PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "attributes of a runner cannot be deleted");
        return -1;
    }
    return 0;
}

static int
set_in_use(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    const int is_true = refuse_deletion(value) < 0 ? -1 : PyObject_IsTrue(value);
    if (is_true >= 0) {
        ((Runner *)object)->in_use = (char)is_true;
    }
    return is_true < 0 ? -1 : 0;
}

static PyObject *
get_pending(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *pending = ((Runner *)object)->pending;
    pending = pending == NULL ? Py_None : pending;
    Py_INCREF(pending);
    return pending;
}

static int
set_pending(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    Runner *self = (Runner *)object;
    PyObject *pending = self->pending;
    if (refuse_deletion(value) < 0) {
        return -1;
    }
    if (value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "pending is set to None by whoever has taken the message, and to nothing else");
        return -1;
    }
    self->pending = NULL;
    Py_XDECREF(pending);
    return 0;
}

static PyObject *
get_pending_kind(PyObject *object, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((Runner *)object)->pending_kind);
}

static PyObject *
get_result(PyObject *object, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((Runner *)object)->result);
}

static PyObject *
get_spin_count(PyObject *object, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(((Runner *)object)->spin_count);
}

static int
set_spin_count(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    return refuse_deletion(value) < 0 ? -1 : get_size(value, "spin_count", 0, PY_SSIZE_T_MAX, &((Runner *)object)->spin_count);
}

static PyObject *
get_yield_seconds(PyObject *object, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble(((Runner *)object)->yield_seconds);
}

static int
set_yield_seconds(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    return refuse_deletion(value) < 0 ? -1 : get_seconds(value, &((Runner *)object)->yield_seconds);
}

static PyObject *
get_began(PyObject *object, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble(((Runner *)object)->began);
}

/* A member of one char that its caller reads and stores; `closure`: where in the runner it lies. */
static PyObject *
get_truth(PyObject *object, void *closure)
{
    return PyBool_FromLong(*((char *)object + (uintptr_t)closure));
}

static int
set_truth(PyObject *object, PyObject *value, void *closure)
{
    const int is_true = refuse_deletion(value) < 0 ? -1 : PyObject_IsTrue(value);
    if (is_true >= 0) {
        *((char *)object + (uintptr_t)closure) = (char)is_true;
    }
    return is_true < 0 ? -1 : 0;
}

static PyObject *
get_can_rest(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((Runner *)object)->actor.rests_at != 0);
}

static PyObject *
get_views(PyObject *object, void *Py_UNUSED(closure))
{
    return Py_BuildValue("(O)", object);
}

/* ---- Making one ---------------------------------------------------------------------------------------------------- */

/* Whether `count` pieces of `length` bytes, `stride` apart, lie in the buffer. Written so that no sum or product overflows. */
static int
check_pieces(const Runner *self, const char *name, Py_ssize_t offset, Py_ssize_t count, Py_ssize_t length, Py_ssize_t stride)
{
    const Py_ssize_t all = self->buffer.len;
    if (stride < length) {
        PyErr_Format(PyExc_ValueError, "%s of %zd bytes do not fit a stride of %zd", name, length, stride);
        return -1;
    }
    if (offset > all - length || (all - length - offset) / stride < count - 1) {
        PyErr_Format(
            PyExc_ValueError, "%zd %s of %zd bytes, %zd apart, from offset %zd on, do not lie in a buffer of %zd bytes", count, name,
            length, stride, offset, all);
        return -1;
    }
    return 0;
}

/* Whether a number of so many bytes can be accessed at once. */
static int
check_boundary(const Runner *self, const char *name, Py_ssize_t offset, unsigned bytes)
{
    if ((uintptr_t)((unsigned char *)self->buffer.buf + offset) % bytes != 0) {
        PyErr_Format(PyExc_ValueError, "%s at offset %zd does not lie on a multiple of %u bytes in memory", name, offset, bytes);
        return -1;
    }
    return 0;
}

static int
check_extent(const Runner *self)
{
    const Actor *actor = &self->actor;
    const Py_ssize_t frame = (Py_ssize_t)sizeof(Frame) + self->chunk_bytes;
    if (check_pieces(self, "entries", actor->flags_offset, actor->blocks, 1 + actor->readers, actor->entry_stride) < 0 ||
        check_pieces(self, "blocks", self->data_offset, actor->blocks, frame, self->block_stride) < 0 ||
        check_pieces(self, "words", actor->awake_offset, 1 + actor->readers, 4, 4) < 0 ||
        check_pieces(self, "positions", actor->position_offset, 1, 8, 8) < 0) {
        return -1;
    }
    return check_boundary(self, "words", actor->awake_offset, 4) < 0 ? -1
                                                                       : check_boundary(self, "positions", actor->position_offset, 8);
}

/* The sizes and places, each in its bounds. */
static int
get_sizes(Runner *self, PyObject *const *objects)
{
    Actor *actor = &self->actor;
    const struct {
        const char *name;
        Py_ssize_t least, most;
        Py_ssize_t *size;
    } sizes[] = {
        {"blocks", 1, PY_SSIZE_T_MAX, &actor->blocks},
        {"flags_offset", 0, PY_SSIZE_T_MAX, &actor->flags_offset},
        {"entry_stride", 1, PY_SSIZE_T_MAX, &actor->entry_stride},
        {"readers", 0, INT_MAX, &actor->readers},
        {"own", 0, INT_MAX, &actor->own},
        {"position_offset", 0, PY_SSIZE_T_MAX, &actor->position_offset},
        {"awake_offset", 0, PY_SSIZE_T_MAX, &actor->awake_offset},
        {"data_offset", 0, PY_SSIZE_T_MAX, &self->data_offset},
        {"block_stride", 1, PY_SSIZE_T_MAX, &self->block_stride},
        {"chunk_bytes", 0, PY_SSIZE_T_MAX - (Py_ssize_t)sizeof(Frame), &self->chunk_bytes},
    };
    for (size_t number = 0; number < sizeof(sizes) / sizeof(sizes[0]); number++) {
        if (get_size(objects[number], sizes[number].name, sizes[number].least, sizes[number].most, sizes[number].size) < 0) {
            return -1;
        }
    }
    if (actor->own > actor->readers) {
        PyErr_Format(PyExc_ValueError, "own is %zd, and it lies between 0 and %zd", actor->own, actor->readers);
        return -1;
    }
    return 0;
}

static int
fill_in(Runner *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"buffer",          "rows",         "blocks",      "flags_offset", "entry_stride", "readers", "own",
                            "position_offset", "awake_offset", "data_offset", "block_stride", "chunk_bytes",  NULL};
    PyObject *buffer, *rows, *sizes[10];
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "OOOOOOOOOOOO:Runner", names, &buffer, &rows, &sizes[0], &sizes[1], &sizes[2], &sizes[3], &sizes[4],
            &sizes[5], &sizes[6], &sizes[7], &sizes[8], &sizes[9])) {
        return -1;
    }
    if (get_sizes(self, sizes) < 0 || read_rows(&self->actor, rows) < 0 ||
        PyObject_GetBuffer(buffer, &self->buffer, PyBUF_WRITABLE) < 0 || check_extent(self) < 0) {
        return -1;
    }
    self->actor.base = self->buffer.buf;
    self->actor.is_visited = PyMem_Calloc((size_t)self->actor.readers + 1, 1);
    if (self->actor.is_visited == NULL) {
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
    atomic_init(&self->actor.lock, 0);
    self->tape.fd = -1;
    self->pid = getpid();
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
    tape_close(&self->tape);
    PyMem_Free(self->actor.rows);
    PyMem_Free(self->actor.is_visited);
    Py_XDECREF(self->pending);
    free_it(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(Runner_doc,
"Runner(buffer, rows, blocks, flags_offset, entry_stride, readers, own, position_offset, awake_offset, data_offset, block_stride,\n"
"       chunk_bytes)\n--\n\n"
"An actor that runs encoded rows on the flags in a buffer: `blocks` entries, each the written flag and then `readers` read\n"
"flags, `entry_stride` bytes apart from `flags_offset` on. `own`: 0 for the writer, 1 + rank for a reader. Its position is the\n"
"number at `position_offset`; the words of who is awake begin at `awake_offset`; the frames of the blocks, each with\n"
"`chunk_bytes` of payload behind, are `block_stride` bytes apart from `data_offset` on. It stands at block 0, is done with none,\n"
"and holds the buffer until release(). Raises ValueError for what is no table, or lies outside of the buffer.");

static PyMethodDef runner_methods[] = {
    {"begin", Runner_begin, METH_NOARGS, begin_doc},
    {"finish", Runner_finish, METH_NOARGS, finish_doc},
    {"abort", Runner_abort, METH_NOARGS, abort_doc},
    {"where", Runner_where, METH_NOARGS, where_doc},
    {"done", Runner_done, METH_NOARGS, done_doc},
    {"resume", Runner_resume, METH_O, resume_doc},
    {"rest", Runner_rest, METH_O, rest_doc},
    {"rouse", Runner_rouse, METH_NOARGS, rouse_doc},
    {"seek", (PyCFunction)(void (*)(void))Runner_seek, METH_FASTCALL, seek_doc},
    {"send", (PyCFunction)(void (*)(void))Runner_send, METH_FASTCALL, send_doc},
    {"receive", (PyCFunction)(void (*)(void))Runner_receive, METH_FASTCALL, receive_doc},
    {"enter", Runner_enter, METH_O, enter_doc},
    {"stop", Runner_stop, METH_NOARGS, stop_doc},
    {"step", Runner_step, METH_O, step_doc},
    {"record", (PyCFunction)(void (*)(void))Runner_record, METH_FASTCALL, record_doc},
    {"recorded", Runner_recorded, METH_NOARGS, recorded_doc},
    {"release", Runner_release, METH_NOARGS, release_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef runner_attributes[] = {
    {"in_use", get_in_use, NULL, "Whether its caller says so, or somebody is inside: then no message goes through.", NULL},
    {"is_in_use", get_in_use, set_in_use, "The same; what is stored here is what the caller says.", NULL},
    {"pending", get_pending, set_pending, "A message that is marked as read, and that nobody has taken yet, or None.", NULL},
    {"pending_kind", get_pending_kind, NULL, "What kind of message was pending last.", NULL},
    {"result", get_result, NULL, "Why receive() had nothing to return.", NULL},
    {"spin_count", get_spin_count, set_spin_count, "How often send() and receive() look again at once.", NULL},
    {"yield_seconds", get_yield_seconds, set_yield_seconds, "For how long they then look again between yields.", NULL},
    {"began", get_began, NULL, "When one of them last began to look again, in seconds on the monotonic clock.", NULL},
    {"has_sought", get_truth, set_truth, "Whether one of them is looking again, or has done so in vain, by a clock.",
     (void *)offsetof(Runner, has_sought)},
    {"is_cancelled", get_truth, set_truth, "Whether that was cancelled; unset where one of them begins to look again by a clock.",
     (void *)offsetof(Runner, is_cancelled)},
    {"can_rest", get_can_rest, NULL, "Whether a row lies down.", NULL},
    {"views", get_views, NULL, "What to release before the segment is closed: the runner.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot runner_slots[] = {
    {Py_tp_doc, (void *)Runner_doc},
    {Py_tp_new, Runner_new},
    {Py_tp_dealloc, Runner_dealloc},
    {Py_tp_methods, runner_methods},
    {Py_tp_getset, runner_attributes},
    {0, NULL},
};

static PyType_Spec runner_spec = {
    .name = "ringbuffer.memory._native.Runner",
    .basicsize = sizeof(Runner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = runner_slots,
};

/* ---- The module ---------------------------------------------------------------------------------------------------- */

static int
add_codes(PyObject *module)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {
        {"load", LOAD}, {"store", STORE}, {"exchange", EXCHANGE}, {"fence", FENCE}, {"fill", FILL}, {"read", READ}, {"sleep", SLEEP},
        {"wake", WAKE},
        {"plain", PLAIN}, {"relaxed", RELAXED}, {"acquire", ACQUIRE}, {"release", RELEASE}, {"acq_rel", ACQ_REL},
        {"seq_cst", SEQ_CST}, {"written", WRITTEN}, {"read[r]", OWN}, {"read[*]", EACH}, {"read[r+1]", NEIGHBOUR},
        {"read[*-1]", BUT_LAST}, {"lock", LOCK}, {"position", POSITION}, {"awake[me]", AWAKE},
        {"awake[*]", OTHERS_AWAKE}, {"0", ZERO}, {"1", ONE}, {"done", DONE}, {"aborted", ABORTED},
        {"forward", FORWARD}, {"waited", WAITED}, {"restarted", RESTARTED}, {"finished", FINISHED}, {"returned", RETURNED},
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
        {"WAIT", WAIT}, {"FOUND", FOUND}, {"ENDED", ENDED}, {"GOING", GOING}, {"BUSY", BUSY}, {"TOO_LARGE", TOO_LARGE},
        {"WOKEN", WOKEN}, {"CHANGED", CHANGED},
        {"TIMED_OUT", TIMED_OUT}, {"INTERRUPTED", INTERRUPTED}, {"ACCESSES_BETWEEN_SIGNALS", ACCESSES_BETWEEN_SIGNALS},
        {"PICKLE", KIND_PICKLE}, {"BYTES", KIND_BYTES}, {"WHOLE", WHOLE}, {"COPY_MAX_BYTES", COPY_MAX_BYTES},
        {"WINDOW_BYTES", WINDOW_BYTES},
    };
    PyObject *type = PyType_FromModuleAndSpec(module, &runner_spec, NULL);
    int status = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    make_crc_tables();
    Py_XDECREF(type);
    for (size_t number = 0; status == 0 && number < sizeof(constants) / sizeof(constants[0]); number++) {
        status = PyModule_AddIntConstant(module, constants[number].name, constants[number].value);
    }
    return status < 0 ? -1 : add_codes(module);
}

PyDoc_STRVAR(load_acquire_doc,
"load_acquire(buffer, offset, /)\n--\n\n"
"The byte at that offset: one atomic access, with acquire ordering. What comes behind it in this thread is not done before it.");

static PyObject *
load_acquire(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Py_buffer buffer;
    Py_ssize_t offset;
    long value = -1;
    if (count != 2) {
        return PyErr_Format(PyExc_TypeError, "load_acquire takes 2 arguments, and not %zd", count);
    }
    if (PyObject_GetBuffer(arguments[0], &buffer, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    if (get_size(arguments[1], "offset", 0, buffer.len - 1, &offset) == 0) {
        value = load_byte((Byte *)((unsigned char *)buffer.buf + offset), ACQUIRE);
    }
    PyBuffer_Release(&buffer);
    return value < 0 ? NULL : PyLong_FromLong(value);
}

static PyMethodDef module_methods[] = {
    {"load_acquire", (PyCFunction)(void (*)(void))load_acquire, METH_FASTCALL, load_acquire_doc},
    {"futex_wait", (PyCFunction)(void (*)(void))futex_wait, METH_FASTCALL, futex_wait_doc},
    {"futex_wake", (PyCFunction)(void (*)(void))futex_wake, METH_FASTCALL, futex_wake_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ringbuffer.memory._native",
    .m_doc = "Rows, executed on shared memory with the orderings that they name; messages; waiting for a word, and waking.",
    .m_size = 0,
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
