/* Messages in one call: rows, frame and payload.
 *
 * A part of _native.c, whose rules and limits it has.
 */

#ifndef RINGBUFFER_MESSAGES_H
#define RINGBUFFER_MESSAGES_H

#include <Python.h>

#include <string.h>
#include "_runner.h"
#include "_waiting.h"

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
        if (length > 0) { /* else there may be no address */
            memmove(to, from, length);
        }
        return;
    }
    self->is_busy = 1;
    Py_BEGIN_ALLOW_THREADS
    memmove(to, from, length);
    Py_END_ALLOW_THREADS
    self->is_busy = 0;
}

/* What is sent: buffers, whose bytes come one behind the other. */
typedef struct {
    Py_buffer buffers[PIECES_MAX];
    int count;
} Pieces;

static void
pieces_release(Pieces *pieces)
{
    while (pieces->count > 0) {
        PyBuffer_Release(&pieces->buffers[--pieces->count]);
    }
}

static int
pieces_add(Pieces *pieces, PyObject *data)
{
    if (PyObject_GetBuffer(data, &pieces->buffers[pieces->count], PyBUF_SIMPLE) < 0) {
        pieces_release(pieces);
        return -1;
    }
    pieces->count++;
    return 0;
}

/* One buffer, or a list of a few of them. TOO_LARGE: of too many. */
static int
pieces_get(Pieces *pieces, PyObject *data)
{
    pieces->count = 0;
    if (!PyList_CheckExact(data)) {
        return pieces_add(pieces, data) < 0 ? -1 : FOUND;
    }
    for (Py_ssize_t number = 0; number < PyList_Size(data); number++) {
        PyObject *piece = PyList_GetItem(data, number);
        int status;
        if (number == PIECES_MAX) {
            pieces_release(pieces);
            return TOO_LARGE;
        }
        Py_INCREF(piece); /* getting at its bytes may run Python code, which may change the list */
        status = pieces_add(pieces, piece);
        Py_DECREF(piece);
        if (status < 0) {
            return -1;
        }
    }
    return FOUND;
}

static int
send_whole(Runner *self, uint32_t kind, const Pieces *pieces, double yield_seconds)
{
    uint64_t length = 0;
    unsigned char *frame, *to;
    int result;
    if (!is_available(self)) {
        return BUSY;
    }
    for (int number = 0; number < pieces->count; number++) {
        length += (uint64_t)pieces->buffers[number].len;
        if (length > (uint64_t)self->chunk_bytes) { /* each is less than 2**63, so that the sum does not wrap around */
            return TOO_LARGE;
        }
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
    to = frame + sizeof(header);
    for (int number = 0; number < pieces->count; number++) {
        const size_t size = (size_t)pieces->buffers[number].len;
        copy(self, to, pieces->buffers[number].buf, size);
        to += size;
    }
    return run(self, FINISH, NULL) < 0 ? -1 : FOUND;
}

PyDoc_STRVAR(send_doc,
"send(kind, data, timeout=None, /)\n--\n\n"
"Write `data` (any contiguous buffer, or a list of a few, one behind the other) into the current block, as a message of one\n"
"part, and run all rows.\n\n"
"Where the block is busy, look again `spin_count` times, and then for `yield_seconds` (or `timeout`, if that is less) with the\n"
"processor given away between two looks; other threads run meanwhile. Returns FOUND (it is sent), WAIT (the block is busy),\n"
"TOO_LARGE (or in too many pieces), or BUSY (a block is out, or somebody is inside); of these only the first has done anything.");

static PyObject *
Runner_send(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Pieces pieces;
    uint32_t kind;
    double yield_seconds;
    int result;
    if (count != 2 && count != 3) {
        return PyErr_Format(PyExc_TypeError, "send takes 2 or 3 arguments, and not %zd", count);
    }
    if (check_side((Runner *)object, FILL, "in this table the caller reads: there is nothing to send") < 0) {
        return NULL;
    }
    if (get_window((Runner *)object, arguments, count, 2, &yield_seconds) < 0 || get_word_value(arguments[0], "kind", &kind) < 0) {
        return NULL;
    }
    result = pieces_get(&pieces, arguments[1]);
    if (result == FOUND) {
        result = send_whole((Runner *)object, kind, &pieces, yield_seconds);
        pieces_release(&pieces);
    }
    return result < 0 ? NULL : PyLong_FromLong(result);
}

/* Whether the frame is that of the next message, in one part. */
static int
is_whole(const Runner *self, const Frame *frame)
{
    return LITTLE_64(frame->sequence) == self->actor.done && LITTLE_32(frame->part) == WHOLE && frame->total == frame->length &&
           LITTLE_64(frame->length) <= (uint64_t)self->chunk_bytes;
}

/* Whether it is, and of a kind that is returned here. */
static int
is_plain(const Runner *self, const Frame *frame, PyObject *decode)
{
    switch (is_whole(self, frame) ? LITTLE_32(frame->kind) : KINDS_MAX) {
    case KIND_BYTES: return 1;
    case KIND_PICKLE: return decode != Py_None && LITTLE_64(frame->length) <= COPY_MAX_BYTES;
    case KIND_TENSOR: return decode != Py_None && self->decode_tensor != NULL;
    default: return 0;
    }
}

/* Memory for a message, which the message then is; and where it lies. A tensor can be written to. */
static PyObject *
new_message(uint32_t kind, Py_ssize_t length, char **to)
{
    PyObject *data = kind == KIND_TENSOR ? PyByteArray_FromStringAndSize(NULL, length) : PyBytes_FromStringAndSize(NULL, length);
    if (data != NULL) {
        *to = kind == KIND_TENSOR ? PyByteArray_AsString(data) : PyBytes_AsString(data);
    }
    return data;
}

/* Copy the message out of its block, mark it as read, and keep it. FOUND: it is not one for that. */
static int
take_out(Runner *self, PyObject *decode, double yield_seconds)
{
    Frame frame;
    PyObject *data;
    char *to, has_sought = 0;
    int result = run(self, BEGIN, NULL);
    if (result == WAIT) {
        result = wait_a_little(self, yield_seconds);
        has_sought = yield_seconds > 0;
    }
    if (result != FOUND) {
        return result;
    }
    memcpy(&frame, current_frame(self), sizeof(frame)); /* once: others can write there */
    if (!is_plain(self, &frame, decode)) {
        self->has_sought = has_sought; /* also where a part has come: its caller may have to wait for more */
        return FOUND;
    }
    data = new_message(LITTLE_32(frame.kind), (Py_ssize_t)LITTLE_64(frame.length), &to);
    if (data == NULL) {
        self->actor.is_held = 0; /* the next look finds the block again */
        return -1;
    }
    copy(self, to, current_frame(self) + sizeof(frame), (size_t)LITTLE_64(frame.length));
    if (run(self, FINISH, NULL) < 0) {
        Py_DECREF(data);
        return -1;
    }
    self->pending = data;
    self->pending_kind = (long)LITTLE_32(frame.kind);
    return ENDED;
}

/* Give the pending message away. One that cannot be decoded stays pending. */
static PyObject *
decoded(Runner *self, PyObject *decode)
{
    PyObject *object, *data = self->pending;
    if (self->pending_kind == KIND_BYTES) {
        self->pending = NULL;
        return data;
    }
    decode = self->pending_kind == KIND_TENSOR && self->decode_tensor != NULL ? self->decode_tensor : decode;
    Py_INCREF(data);
    Py_INCREF(decode); /* others may replace it */
    self->is_busy = 1; /* decoding runs Python code, and so others */
    object = PyObject_CallFunctionObjArgs(decode, data, NULL);
    self->is_busy = 0;
    Py_DECREF(decode);
    if (object != NULL && self->pending == data) {
        self->pending = NULL;
        Py_DECREF(data);
    }
    Py_DECREF(data);
    return object;
}

PyDoc_STRVAR(whole_doc,
"whole(timeout=None, /)\n--\n\n"
"Look for the next message, for a caller who has set is_in_use: length << 8 | kind, where it lies in one part in its block, which\n"
"is the caller's then, or is so already; or -1, and whatever keeps it is for the caller to find.\n\n"
"Where the block is busy, it looks again as receive() does, but for the cancelling, of which it says nothing.");

static PyObject *
Runner_whole(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Runner *self = (Runner *)object;
    Frame frame;
    double yield_seconds;
    int result = BUSY, has_sought = 0;
    if (count > 1) {
        return PyErr_Format(PyExc_TypeError, "whole takes 0 or 1 arguments, and not %zd", count);
    }
    if (get_window(self, arguments, count, 0, &yield_seconds) < 0 ||
        check_side(self, READ, "in this table the caller writes: there is nothing to receive") < 0) {
        return NULL;
    }
    if (!self->is_busy && self->buffer.obj != NULL) {
        result = run(self, BEGIN, NULL); /* a block that is held is found again */
        if (result == WAIT && (self->spin_count > 0 || yield_seconds > 0)) {
            self->began = now_seconds();
            result = seek_on(self, self->spin_count, self->began, yield_seconds);
            has_sought = yield_seconds > 0;
        }
    }
    if (result < 0) {
        return NULL;
    }
    if (result == FOUND) {
        memcpy(&frame, current_frame(self), sizeof(frame)); /* once: others can write there */
        if (is_whole(self, &frame) && LITTLE_32(frame.kind) < KINDS_MAX) {
            self->has_sought = 0;
            return PyLong_FromUnsignedLongLong(LITTLE_64(frame.length) << KIND_BITS | LITTLE_32(frame.kind));
        }
    }
    self->has_sought = (char)(self->has_sought || has_sought); /* as receive() says it, which may have looked before */
    return PyLong_FromLong(-1);
}

PyDoc_STRVAR(receive_doc,
"receive(decode, timeout=None, /)\n--\n\n"
"The next message, marked as read: its bytes, or what `decode` makes of them where they are a pickle, or `decode_tensor` where\n"
"they are a tensor: of a bytearray, which the tensor may keep.\n\n"
"Where the block is busy, it looks again as send() does. A message that `decode` raises for, or is interrupted in, stays in\n"
"`pending`, and comes again. Raises StopIteration when there is nothing to return, and then `result` says why: WAIT (the block\n"
"is busy), BUSY (a block is out, or somebody is inside), FOUND (the block is the caller's, who must look at it himself: no\n"
"message of one part, or not the next one, or too long for this way; or, where `pending` is set, that is no bytes, and `decode`\n"
"is None).\n\n"
"It is made to be iterated over, as map(runner.receive, ...): CPython may interrupt behind a call, and there the message would\n"
"be lost, but not where a `for` takes it.");

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
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

#endif
