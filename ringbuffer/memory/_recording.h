/* What an actor does, written down as it does it: sixteen bytes for each access, into a file that is mapped.
 *
 * Rules
 * - A record is written behind its access and before the next one, its code last, so that a process that is killed leaves all
 *   its records but, at the most, the one of its last access. (What is mapped is the kernel's, and outlives the process.)
 * - The file grows by whole windows, which are reserved before they are mapped: a full disk is an error here, not a crash. Then
 *   nothing more is recorded, `error` says why, and the actor goes on.
 * - A look that finds just what the look directly before it has found is written once.
 * - No Python runs here, so that no interrupt comes between an access and its record.
 *
 * Limits: what is written is what ringbuffer/trace/recording.py describes; it is little-endian. A part of _native.c.
 */

#ifndef RINGBUFFER_RECORDING_H
#define RINGBUFFER_RECORDING_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "_rows.h"

enum { RECORD_BYTES = 16, WINDOW_BYTES = 1 << 20, INTERRUPTED_PC = 0xFFFE };

typedef struct {
    int fd;                /* of the file; -1: nothing is recorded */
    int error;             /* why nothing is recorded any more */
    unsigned char *window; /* mapped, WINDOW_BYTES long; NULL before the first record */
    off_t start;           /* where in the file it begins */
    size_t at;             /* where in it the next record goes */
    size_t look, look_end; /* the records of the last look, if it found the block busy and nothing came behind: [look, look_end) */
} Tape;

static inline void
tape_close(Tape *tape)
{
    if (tape->window != NULL) {
        munmap(tape->window, WINDOW_BYTES);
        tape->window = NULL;
    }
    if (tape->fd >= 0) {
        close(tape->fd);
        tape->fd = -1;
    }
}

/* Map the window that begins there, and make the file that long. -1: it cannot be. */
static inline int
tape_map(Tape *tape, off_t start)
{
    void *window;
    int error;
    do {
        error = posix_fallocate(tape->fd, start, WINDOW_BYTES);
    } while (error == EINTR);
    if (error == 0) {
        window = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, tape->fd, start);
        error = window == MAP_FAILED ? errno : 0;
    }
    if (error != 0) {
        tape->error = error;
        return -1;
    }
    if (tape->window != NULL) {
        munmap(tape->window, WINDOW_BYTES);
    }
    tape->window = window;
    tape->start = start;
    tape->at = tape->look = tape->look_end = 0;
    return 0;
}

/* Record into that file from `at` on, which lies in its first window. -1: it cannot be, and `error` says why. */
static inline int
tape_open(Tape *tape, int fd, size_t at)
{
    tape->error = 0;
    tape->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (tape->fd < 0) {
        tape->error = errno;
        return -1;
    }
    if (tape_map(tape, 0) < 0) {
        tape_close(tape);
        return -1;
    }
    tape->at = at;
    return 0;
}

static inline void
tape_write(Tape *tape, int pc, ptrdiff_t detail, ptrdiff_t block, uint64_t value)
{
    unsigned char *record;
    uint16_t code = (uint16_t)(pc + 1), low = (uint16_t)detail;
    uint32_t number = LITTLE_32((uint32_t)block);
    if (tape->error != 0 || (tape->at == WINDOW_BYTES && tape_map(tape, tape->start + WINDOW_BYTES) < 0)) {
        return;
    }
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    code = __builtin_bswap16(code);
    low = __builtin_bswap16(low);
#endif
    value = LITTLE_64(value);
    record = tape->window + tape->at;
    memcpy(record + 2, &low, 2);
    memcpy(record + 4, &number, 4);
    memcpy(record + 8, &value, 8);
    atomic_signal_fence(memory_order_release); /* the same processor writes all of it: the code comes last */
    memcpy(record, &code, 2);
    tape->at += RECORD_BYTES;
}

/* A look that began at `began` has found the block busy: it is taken back if it is the last one over again. */
static inline void
tape_looked(Tape *tape, off_t window, size_t began)
{
    const size_t length = tape->at - began;
    if (window != tape->start) {
        return; /* it begins in the window before */
    }
    if (tape->look_end == began && tape->look_end - tape->look == length && length > 0 &&
        memcmp(tape->window + tape->look, tape->window + began, length) == 0) {
        memset(tape->window + began, 0, length);
        tape->at = began;
        return;
    }
    tape->look = began;
    tape->look_end = tape->at;
}

/* ---- A digest of a message: CRC-32, the one of zlib ------------------------------------------------------------------ */

static uint32_t crc_tables[8][256];

static inline void
make_crc_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t rest = byte;
        for (int bit = 0; bit < 8; bit++) {
            rest = rest & 1 ? rest >> 1 ^ 0xEDB88320u : rest >> 1;
        }
        crc_tables[0][byte] = rest;
    }
    for (int ahead = 1; ahead < 8; ahead++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            const uint32_t rest = crc_tables[ahead - 1][byte];
            crc_tables[ahead][byte] = rest >> 8 ^ crc_tables[0][rest & 0xFF];
        }
    }
}

static inline uint32_t
crc32_of(const unsigned char *data, size_t length)
{
    uint32_t rest = 0xFFFFFFFFu;
    for (; length >= 8; data += 8, length -= 8) { /* eight bytes at a time, one table for each */
        uint32_t low, high;
        memcpy(&low, data, 4);
        memcpy(&high, data + 4, 4);
        low = LITTLE_32(low) ^ rest;
        high = LITTLE_32(high);
        rest = crc_tables[7][low & 0xFF] ^ crc_tables[6][low >> 8 & 0xFF] ^ crc_tables[5][low >> 16 & 0xFF] ^
               crc_tables[4][low >> 24] ^ crc_tables[3][high & 0xFF] ^ crc_tables[2][high >> 8 & 0xFF] ^
               crc_tables[1][high >> 16 & 0xFF] ^ crc_tables[0][high >> 24];
    }
    for (; length > 0; data++, length--) {
        rest = rest >> 8 ^ crc_tables[0][(rest ^ *data) & 0xFF];
    }
    return rest ^ 0xFFFFFFFFu;
}

#endif
