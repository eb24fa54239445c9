/* Waiting for a word, and waking, for Python: futex_wait and futex_wake of the module. A part of _native.c. */

#ifndef RINGBUFFER_WORDS_H
#define RINGBUFFER_WORDS_H

#include <Python.h>

#include "_futex.h"
#include "_table.h"

/* How a wait ends. */
enum waited { WOKEN, CHANGED, TIMED_OUT, INTERRUPTED };

/* Longer waits are waits for ever: it is more than thirty years, and fits a 32-bit number of seconds. */
#define SECONDS_MAX 1e9

/* A number of 32 bits; anything else is an error that names it. */
static int
get_word_value(PyObject *object, const char *name, uint32_t *number)
{
    const size_t value = PyLong_AsSize_t(object);
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError)) {
        return -1;
    }
    if (PyErr_Occurred() || value > UINT32_MAX) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%s is %R, and it is a number of 32 bits, 0 or more", name, object);
        return -1;
    }
    *number = (uint32_t)value;
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
    if (has_timeout < 0 || get_word_value(arguments[2], "expected", &expected) < 0) {
        return NULL;
    }
    word = get_word(arguments[0], arguments[1], &buffer);
    if (word == NULL) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    error = sleep_on(word, expected, has_timeout ? &timeout : NULL);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    switch (error) {
    case 0: return PyLong_FromLong(WOKEN);
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
    woken = wake_up(word, (int)most);
    PyBuffer_Release(&buffer);
    return woken < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(woken);
}

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

#endif
