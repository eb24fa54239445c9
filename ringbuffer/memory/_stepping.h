/* A runner that is stepped, access by access, and one that is recorded.
 *
 * A part of _native.c, whose rules and limits it has.
 */

#ifndef RINGBUFFER_STEPPING_H
#define RINGBUFFER_STEPPING_H

#include <Python.h>

#include "_runner.h"

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
    const Py_ssize_t count = row->count;
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

#endif
