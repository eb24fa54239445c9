/* How a runner is made and unmade: every number is held to the buffer before anything is done.
 *
 * A part of _native.c, whose rules and limits it has.
 */

#ifndef RINGBUFFER_MAKING_H
#define RINGBUFFER_MAKING_H

#include <Python.h>

#include <string.h>
#include <unistd.h>
#include "_runner.h"

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
    if (get_sizes(self, sizes) < 0 || PyObject_GetBuffer(buffer, &self->buffer, PyBUF_WRITABLE) < 0 || check_extent(self) < 0 ||
        read_rows(&self->actor, rows) < 0) { /* rows come last: to say where their flags lie takes places that there are */
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
    Py_XDECREF(self->decode_tensor);
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

#endif
