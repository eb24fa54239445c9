/* How a runner waits: it lies down on its word; it looks again, at once and between yields.
 *
 * A part of _native.c, whose rules and limits it has.
 */

#ifndef RINGBUFFER_WAITING_H
#define RINGBUFFER_WAITING_H

#include <Python.h>

#include <sched.h>
#include <time.h>
#include "_runner.h"
#include "_words.h"

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

/* The block is busy: look again so many times, and then for so long between yields from `began` on. FOUND: it is held. */
static int
seek_on(Runner *self, Py_ssize_t spins, double began, double yield_seconds)
{
    int result = WAIT;
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
        return seek_on(self, self->spin_count, 0, 0);
    }
    self->began = now_seconds();
    self->is_cancelled = 0;
    self->has_sought = 1; /* from here on it can be cancelled */
    result = seek_on(self, self->spin_count, self->began, yield_seconds);
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
    result = look(self);
    result = result == WAIT ? seek_on(self, spins, now_seconds(), yield_seconds) : result;
    self->actor.is_held = 0;
    return PyLong_FromLong(result);
}

#endif
