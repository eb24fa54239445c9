/* Sleeping on a 32-bit word, and waking who sleeps on it: the system call (futex). Plain C, a part of _native.c.
 *
 * The words lie in memory that several processes share, so the calls are not the cheaper FUTEX_PRIVATE ones. Limits: futexes are
 * Linux's; elsewhere the calls fail with ENOSYS.
 */

#ifndef RINGBUFFER_FUTEX_H
#define RINGBUFFER_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <stdint.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* The system call takes a pair of longs for the time, whatever the C library's timespec is. */
struct kernel_time {
    long seconds, nanoseconds;
};

static const struct kernel_time NO_TIME = {0, 0};

/* Sleep while the word is `expected`, for so long at most (NULL: for ever). 0 or the error: EAGAIN (the word is another),
 * ETIMEDOUT, EINTR, ... */
static inline int
sleep_on(uint32_t *word, uint32_t expected, const struct kernel_time *timeout)
{
#ifdef __linux__
    return syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout, NULL, 0) == 0 ? 0 : errno;
#else
    (void)word, (void)expected, (void)timeout;
    return ENOSYS;
#endif
}

/* Wake up to `most` of those who sleep on the word. Returns how many there were, or -1 with errno set. */
static inline long
wake_up(uint32_t *word, int most)
{
#ifdef __linux__
    return syscall(SYS_futex, word, FUTEX_WAKE, most, NULL, NULL, 0);
#else
    (void)word, (void)most;
    errno = ENOSYS;
    return -1;
#endif
}

#endif
