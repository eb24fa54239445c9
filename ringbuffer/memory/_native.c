/* Rows, executed on shared memory: what Python cannot say about an access, its ordering, and how to sleep until another comes.
 *
 * A Runner is handed a table of rows as numbers (ringbuffer/memory/encoding.py prints it, and says what each number means) and
 * does what they say to the flags, words and positions of a segment. It knows rows, not the protocol: which row comes when, in
 * which ordering, and where it leads, are all in the table. `send` and `receive` run rows and copy a message in one call, for
 * the most common messages; for all others there are the calls of which they are made: begin, finish and abort. Two functions
 * wait for a 32-bit word and wake those who wait for it (futex).
 *
 * The parts: _rows.h (accesses, and going from row to row), _futex.h (the system call), _recording.h (what an actor does, written
 * down); _table.h (rows out of numbers), _words.h (futexes for Python); of a runner _runner.h (what it is, and how it runs),
 * _waiting.h, _messages.h, _stepping.h, _attributes.h and _making.h; and here what Python sees of all that.
 *
 * Rules
 * - Every access to a flag is one C11 atomic access of one byte (to a word who is awake, of four; to a position, of eight), in
 *   the ordering of its row. Several read flags are several accesses, in the order of the ranks; a stepped runner visits them in
 *   the order that it is told.
 * - The payload is plain memory. Outside of send and receive its caller reads and writes it between two calls of the runner,
 *   which no compiler sees through; what orders it against other processes are the rows before and behind.
 * - An access and the move of the index that belongs to it happen in one call, during which no Python code runs: an interrupt
 *   comes before both or after both. A message that was received is kept in `pending` until it is given away.
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
 * releases. To run its tests under the sanitizers for addresses and undefined behaviour: .ci/sanitize; on other processors, which
 * are emulated: .ci/emulate
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include "_attributes.h"
#include "_making.h"
#include "_messages.h"
#include "_stepping.h"
#include "_waiting.h"
#include "_words.h"

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
    {"whole", (PyCFunction)(void (*)(void))Runner_whole, METH_FASTCALL, whole_doc},
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
    {"pending", get_pending, set_pending, "A message that is marked as read, and that was not given away, or None.", NULL},
    {"pending_kind", get_pending_kind, NULL, "What kind of message was pending last.", NULL},
    {"decode_tensor", get_decode_tensor, set_decode_tensor,
     "What receive() makes tensors with, of a bytearray each; None: it leaves them to its caller.", NULL},
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
        {"PICKLE", KIND_PICKLE}, {"BYTES", KIND_BYTES}, {"TENSOR", KIND_TENSOR}, {"WHOLE", WHOLE}, {"COPY_MAX_BYTES", COPY_MAX_BYTES},
        {"KIND_BITS", KIND_BITS},
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
