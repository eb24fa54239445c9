/* What of a runner Python reads and stores.
 *
 * A part of _native.c, whose rules and limits it has.
 */

#ifndef RINGBUFFER_ATTRIBUTES_H
#define RINGBUFFER_ATTRIBUTES_H

#include <Python.h>

#include "_runner.h"
#include "_waiting.h"

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

/* A member that may be NULL, for Python. */
static PyObject *
or_none(PyObject *member)
{
    member = member == NULL ? Py_None : member;
    Py_INCREF(member);
    return member;
}

static PyObject *
get_pending(PyObject *object, void *Py_UNUSED(closure))
{
    return or_none(((Runner *)object)->pending);
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
get_decode_tensor(PyObject *object, void *Py_UNUSED(closure))
{
    return or_none(((Runner *)object)->decode_tensor);
}

static int
set_decode_tensor(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    Runner *self = (Runner *)object;
    PyObject *decode = self->decode_tensor;
    if (refuse_deletion(value) < 0) {
        return -1;
    }
    self->decode_tensor = value == Py_None ? NULL : value;
    Py_XINCREF(self->decode_tensor);
    Py_XDECREF(decode);
    return 0;
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

#endif
