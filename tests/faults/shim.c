/* Lies to a server about the clock and about the room on its disk, as two files say. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The number in the file that a variable names. */
static long long number(const char *variable, long long otherwise) {
    const char *path = getenv(variable);
    char text[32] = {0};
    int before = errno;
    if (path != NULL) {
        int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (syscall(SYS_read, file, text, sizeof text - 1) > 0) {
                otherwise = strtoll(text, NULL, 10);
            }
            syscall(SYS_close, file);
        }
    }
    errno = before;
    return otherwise;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        now->tv_sec += number("FAULT_CLOCK", 0);
    }
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now != NULL) {
        *now = exact.tv_sec;
    }
    return exact.tv_sec;
}

/* How much of a write the disk takes: what is there may be overwritten, and no file of a database
   may grow beyond the number of bytes. */
static ssize_t room(int file, size_t length, off_t at) {
    long long limit = number("FAULT_DISK", -1);
    char link[64], path[4096];
    struct stat state;
    if (limit < 0) {
        return (ssize_t)length;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t named = readlink(link, path, sizeof path - 1);
    if (named < 0 || fstat(file, &state) != 0) {
        return (ssize_t)length;
    }
    path[named] = 0;
    if (strstr(path, ".db") == NULL) {
        return (ssize_t)length;
    }
    off_t end = state.st_size > limit ? state.st_size : (off_t)limit;
    if (at >= end) {
        errno = ENOSPC;
        return -1;
    }
    return end - at < (off_t)length ? end - at : (ssize_t)length;
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off_t at) {
    ssize_t taken = room(file, length, at);
    return taken < 0 ? taken : syscall(SYS_pwrite64, file, bytes, (size_t)taken, at);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    return pwrite64(file, bytes, length, at);
}

ssize_t write(int file, const void *bytes, size_t length) {
    off_t at = lseek(file, 0, SEEK_CUR);
    ssize_t taken = at < 0 ? (ssize_t)length : room(file, length, at);
    return taken < 0 ? taken : syscall(SYS_write, file, bytes, (size_t)taken);
}
