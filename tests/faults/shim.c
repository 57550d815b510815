/* A disk that fails and a clock that jumps, between the host and the C library.
 *
 * The file that TANDEM_FAULTS names holds a `struct control`, which the harness changes while the host runs. The journal's
 * file and its log of writes are the only files that faults reach. What was written to them and not synced is recorded
 * beside the control file, so that the harness can take it back as a power cut would: see `disk.rs`. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { JOURNAL, LOG, FILES };
enum { READ, WRITE, SYNC, CALLS };
enum { FDS_MAX = 4096 };

/* Numbers that `disk.rs` writes by their place. */
struct rule {
    int64_t share;  /* Calls of ten thousand that are struck. */
    int64_t error;  /* What they fail with; 0: they do half of what they were asked. */
    int64_t left;   /* Strikes that are left. */
    int64_t struck; /* Strikes so far. */
};
struct control {
    int64_t clock_ms;
    uint64_t random;
    int64_t is_full;
    int64_t sync_us; /* Longest time that a sync takes. */
    int64_t is_doomed[FILES]; /* A sync of it has failed, so its records are kept. */
    struct rule rules[CALLS];
};

/* One record of what was not synced. `kind` 'w': bytes written; 't': a file cut or lengthened; 's': synced up to here;
 * 'd': a sync failed, so that what stands above may be lost whatever later syncs say. */
struct record {
    uint64_t kind, at, size_before, old_bytes, new_bytes, size_after;
};

static struct control calm, *control = &calm;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t files[FDS_MAX]; /* Which file a descriptor is of, and one more; 0: none of ours. */
static int records[FILES] = {-1, -1};

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TANDEM_FAULTS");
    if (!path) return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof calm, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        fprintf(stderr, "the control file of the faults cannot be opened\n");
        abort();
    }
    control = at;
    for (int file = 0; file < FILES; file++) {
        char name[4096];
        snprintf(name, sizeof name, "%s-%s", path, file == JOURNAL ? "journal" : "log");
        records[file] = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
}

static uint64_t draw(void) {
    /* Two threads may draw the same number; nobody minds. */
    uint64_t x = control->random | 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    control->random = x;
    return x;
}

static int file_of(int fd) {
    return fd >= 0 && fd < FDS_MAX ? files[fd] - 1 : -1;
}

static int strikes(int call) {
    struct rule *rule = &control->rules[call];
    if (rule->left <= 0 || (int64_t)(draw() % 10000) >= rule->share) return 0;
    __atomic_fetch_sub(&rule->left, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&rule->struck, 1, __ATOMIC_RELAXED);
    return 1;
}

static int fails(int error) {
    errno = error;
    return -1;
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    int file = ends_with(path, ".db") ? JOURNAL : ends_with(path, ".db-wal") ? LOG : -1;
    int is_new = file >= 0 && (flags & O_CREAT) && syscall(SYS_faccessat, at, path, F_OK) != 0;
    int fd = syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && fd < FDS_MAX) {
        files[fd] = file + 1;
        /* A new file has no past. */
        if (is_new && records[file] >= 0) {
            if (ftruncate(records[file], 0) == 0) control->is_doomed[file] = 0;
        }
    }
    return fd;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = mode_of(flags, rest);                                                                            \
        va_end(rest);                                                                                                  \
        return opened(AT_FDCWD, path, flags, mode);                                                                    \
    }
#define OPENAT(name)                                                                                                   \
    int name(int at, const char *path, int flags, ...) {                                                               \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = mode_of(flags, rest);                                                                            \
        va_end(rest);                                                                                                  \
        return opened(at, path, flags, mode);                                                                          \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    if (fd >= 0 && fd < FDS_MAX) files[fd] = 0;
    return syscall(SYS_close, fd);
}

static void note(int file, struct record record, const void *old, const void *new) {
    struct iovec parts[] = {
        {&record, sizeof record}, {(void *)old, record.old_bytes}, {(void *)new, record.new_bytes}};
    size_t all = sizeof record + record.old_bytes + record.new_bytes;
    if (records[file] >= 0 && writev(records[file], parts, 3) != (ssize_t)all) {
        static const char why[] = "the faults cannot be recorded\n";
        syscall(SYS_write, 2, why, sizeof why - 1);
        abort();
    }
}

/* Records what stands where bytes are written to, or where a file is cut; gives the file's size before. */
static off_t remember(int fd, int file, char kind, off_t at, const void *new, size_t bytes, off_t size_after) {
    struct stat now = {0};
    fstat(fd, &now);
    off_t until = kind == 't' ? now.st_size : at + (off_t)bytes;
    if (until > now.st_size) until = now.st_size;
    size_t old_bytes = until > at ? until - at : 0;
    char *old = malloc(old_bytes + 1);
    if (!old || syscall(SYS_pread64, fd, old, old_bytes, at) != (ssize_t)old_bytes) abort();
    struct record record = {kind, at, now.st_size, old_bytes, bytes, size_after};
    note(file, record, old, new);
    free(old);
    return now.st_size;
}

/* Writes to one of ours at this place; `moves` is for a call that goes by where the file stands. */
static ssize_t put(int fd, int file, const void *bytes, size_t size, off_t at, int moves) {
    struct stat now;
    if (control->is_full && fstat(fd, &now) == 0 && at + (off_t)size > now.st_size) return fails(ENOSPC);
    if (strikes(WRITE)) {
        if (control->rules[WRITE].error) return fails(control->rules[WRITE].error);
        if (size > 1) size /= 2;
    }
    pthread_mutex_lock(&lock);
    remember(fd, file, 'w', at, bytes, size, at + size);
    ssize_t put = moves ? syscall(SYS_write, fd, bytes, size) : syscall(SYS_pwrite64, fd, bytes, size, at);
    pthread_mutex_unlock(&lock);
    return put;
}

ssize_t write(int fd, const void *bytes, size_t size) {
    int file = file_of(fd);
    if (file < 0) return syscall(SYS_write, fd, bytes, size);
    return put(fd, file, bytes, size, syscall(SYS_lseek, fd, 0, SEEK_CUR), 1);
}

#define PWRITE(name)                                                                                                   \
    ssize_t name(int fd, const void *bytes, size_t size, off_t at) {                                                   \
        int file = file_of(fd);                                                                                        \
        return file < 0 ? syscall(SYS_pwrite64, fd, bytes, size, at) : put(fd, file, bytes, size, at, 0);              \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

/* Half of what was asked is read again, as from a file that ends there: SQLite takes that for a short file, so only an
 * error is true to life. */
static int read_fails(int fd) {
    return file_of(fd) >= 0 && strikes(READ);
}

ssize_t read(int fd, void *bytes, size_t size) {
    return read_fails(fd) ? fails(EIO) : syscall(SYS_read, fd, bytes, size);
}

#define PREAD(name)                                                                                                    \
    ssize_t name(int fd, void *bytes, size_t size, off_t at) {                                                         \
        return read_fails(fd) ? fails(EIO) : syscall(SYS_pread64, fd, bytes, size, at);                                \
    }
PREAD(pread)
PREAD(pread64)

#define TRUNCATE(name)                                                                                                 \
    int name(int fd, off_t size) {                                                                                     \
        int file = file_of(fd);                                                                                        \
        if (file < 0) return syscall(SYS_ftruncate, fd, size);                                                         \
        pthread_mutex_lock(&lock);                                                                                     \
        remember(fd, file, 't', size, NULL, 0, size);                                                                  \
        int cut = syscall(SYS_ftruncate, fd, size);                                                                    \
        pthread_mutex_unlock(&lock);                                                                                   \
        return cut;                                                                                                    \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

static int synced(int fd, int call) {
    int file = file_of(fd);
    if (file < 0) return syscall(call, fd);
    if (control->sync_us > 0) usleep(draw() % control->sync_us);
    int is_struck = strikes(SYNC);
    pthread_mutex_lock(&lock);
    if (is_struck) {
        note(file, (struct record){'d', 0, 0, 0, 0, 0}, NULL, NULL);
        control->is_doomed[file] = 1;
    } else if (control->is_doomed[file]) {
        note(file, (struct record){'s', 0, 0, 0, 0, 0}, NULL, NULL);
    } else if (records[file] >= 0 && syscall(SYS_ftruncate, records[file], 0) != 0) {
        abort();
    }
    pthread_mutex_unlock(&lock);
    /* The kernel keeps what a killed process has written, and a power cut is made from the records: nothing to wait for. */
    return is_struck ? fails(control->rules[SYNC].error) : 0;
}

int fsync(int fd) {
    return synced(fd, SYS_fsync);
}

int fdatasync(int fd) {
    return synced(fd, SYS_fdatasync);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int asked = syscall(SYS_clock_gettime, clock, now);
    if (asked == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ms = now->tv_sec * 1000 + now->tv_nsec / 1000000 + control->clock_ms;
        now->tv_sec = ms / 1000;
        now->tv_nsec = (ms % 1000) * 1000000 + now->tv_nsec % 1000000;
    }
    return asked;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec at;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &at) != 0) return -1;
    *now = (struct timeval){at.tv_sec, at.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
