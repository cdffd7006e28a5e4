/* Makes system calls below one folder fail, or records them; for LD_PRELOAD.
 *
 * shim_watch(folder) chooses the folder. shim_fail(n, number, forever) lets the n-th call from then on, or every call from
 * the n-th on, fail with that errno; shim_fail_log(n, number, forever) counts only the fsyncs of files named *-wal.
 * shim_record(file) writes every change of the folder to a file: a line for each, with its data after it. The order of the
 * lines is that of the calls. Files are named by their inode numbers.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))
#define MOST 4096

static char folder[PATH_MAX];
static size_t folder_length;
static char watched[MOST]; /* 0: no, 1: a file below the folder, 2: a folder, 3: a log */
static long count, first = -1, n_failed, log_count, log_first = -1;
static int failure, always;
static FILE *record;
static pthread_mutex_t one_at_a_time = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static int below(const char *path) {
    if (!folder_length || strncmp(path, folder, folder_length)) return 0;
    return path[folder_length] == '/' || !path[folder_length];
}

static int is_watched(int fd) { return fd >= 0 && fd < MOST ? watched[fd] : 0; }

static int fails_if(int lasting) {
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (first < 0 || number < first || (number > first && !lasting)) return 0;
    __atomic_add_fetch(&n_failed, 1, __ATOMIC_SEQ_CST);
    errno = failure;
    return 1;
}

static int fails(void) { return fails_if(always); }

void shim_watch(const char *path) {
    snprintf(folder, sizeof folder, "%s", path);
    folder_length = strlen(folder);
}

void shim_fail(long n, int number, int forever) {
    failure = number;
    always = forever;
    count = n_failed = 0;
    first = n;
}

void shim_fail_log(long n, int number, int forever) {
    failure = number;
    always = forever;
    log_count = 0;
    log_first = n;
}

long shim_count(void) { return count; }
long shim_failed(void) { return n_failed; }

void shim_record(const char *path) { record = fopen(path, "wb"); }

void shim_note(const char *text) {
    pthread_mutex_lock(&one_at_a_time);
    if (record) fprintf(record, "note %s\n", text), fflush(record);
    pthread_mutex_unlock(&one_at_a_time);
}

static unsigned long inode(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : (unsigned long)found.st_ino;
}

static void begin(void) {
    if (record) pthread_mutex_lock(&one_at_a_time);
}

static void end(void) {
    if (!record) return;
    int kept = errno;
    fflush(record);
    pthread_mutex_unlock(&one_at_a_time);
    errno = kept;
}

static const char *shown(const char *path) { return path[folder_length] ? path + folder_length + 1 : "."; }

static int opened(int at, const char *path, int flags, mode_t mode, int (*call)(int, const char *, int, ...)) {
    if (!below(path)) {
        int fd = call(at, path, flags, mode);
        if (fd >= 0 && fd < MOST) watched[fd] = 0;
        return fd;
    }
    if (fails()) return -1;
    begin();
    struct stat found;
    int is_new = stat(path, &found) != 0, fd = call(at, path, flags, mode);
    if (fd >= 0 && fd < MOST) {
        size_t length = strlen(path);
        int is_log = length > 4 && !strcmp(path + length - 4, "-wal");
        watched[fd] = !fstat(fd, &found) && S_ISDIR(found.st_mode) ? 2 : is_log ? 3 : 1;
        if (record && watched[fd] == 2) fprintf(record, "folder %lu %s\n", inode(fd), shown(path));
        if (record && is_new && (flags & O_CREAT)) fprintf(record, "create %lu %s\n", inode(fd), shown(path));
        if (record && !is_new && (flags & O_TRUNC)) fprintf(record, "truncate %lu 0\n", inode(fd));
    }
    end();
    return fd;
}

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                           \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode, REAL(openat)); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode, REAL(openat64)); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode, REAL(openat)); }
int openat64(int at, const char *path, int flags, ...) {
    MODE(flags) return opened(at, path, flags, mode, REAL(openat64));
}

static void wrote(int fd, const void *data, ssize_t length, off_t offset) {
    if (!record || length <= 0) return;
    fprintf(record, "write %lu %ld %zd\n", inode(fd), (long)offset, length);
    fwrite(data, 1, (size_t)length, record);
}

ssize_t write(int fd, const void *data, size_t length) {
    if (!is_watched(fd)) return REAL(write)(fd, data, length);
    if (fails()) return -1;
    begin();
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, data, length);
    wrote(fd, data, done, offset);
    end();
    return done;
}

static ssize_t written(int fd, const void *data, size_t length, off_t offset,
                       ssize_t (*call)(int, const void *, size_t, off_t)) {
    if (!is_watched(fd)) return call(fd, data, length, offset);
    if (fails()) return -1;
    begin();
    ssize_t done = call(fd, data, length, offset);
    wrote(fd, data, done, offset);
    end();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return written(fd, data, length, offset, REAL(pwrite));
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return written(fd, data, length, offset, REAL(pwrite64));
}

static int synced(int fd, int (*call)(int)) {
    if (!is_watched(fd)) return call(fd);
    if (fails()) return -1;
    begin();
    if (watched[fd] == 3 && log_first > 0 && ++log_count >= log_first && (log_count == log_first || always)) {
        if (record) fprintf(record, "failedsync %lu\n", inode(fd));
        errno = failure;
        end();
        return -1;
    }
    int result = call(fd);
    if (record && !result) fprintf(record, watched[fd] == 2 ? "syncfolder %lu\n" : "sync %lu\n", inode(fd));
    end();
    return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

static int truncated(int fd, off_t length, int (*call)(int, off_t)) {
    if (!is_watched(fd)) return call(fd, length);
    if (fails()) return -1;
    begin();
    int result = call(fd, length);
    if (record && !result) fprintf(record, "truncate %lu %ld\n", inode(fd), (long)length);
    end();
    return result;
}

int ftruncate(int fd, off_t length) { return truncated(fd, length, REAL(ftruncate)); }
int ftruncate64(int fd, off64_t length) { return truncated(fd, length, REAL(ftruncate64)); }

int rename(const char *old, const char *new) {
    if (!below(old) || !below(new)) return REAL(rename)(old, new);
    if (fails()) return -1;
    begin();
    int result = REAL(rename)(old, new);
    if (record && !result) fprintf(record, "rename %s\nto %s\n", shown(old), shown(new));
    end();
    return result;
}

int unlink(const char *path) {
    if (!below(path)) return REAL(unlink)(path);
    if (fails()) return -1;
    begin();
    int result = REAL(unlink)(path);
    if (record && !result) fprintf(record, "unlink %s\n", shown(path));
    end();
    return result;
}

int mkdir(const char *path, mode_t mode) {
    if (!below(path)) return REAL(mkdir)(path, mode);
    if (fails()) return -1;
    begin();
    int result = REAL(mkdir)(path, mode);
    if (record && !result) fprintf(record, "mkdir %s\n", shown(path));
    end();
    return result;
}

static void *mapped(void *at, size_t length, int rights, int flags, int fd, off_t offset,
                    void *(*call)(void *, size_t, int, int, int, off_t)) {
    if (is_watched(fd) && fails()) return MAP_FAILED;
    return call(at, length, rights, flags, fd, offset);
}

void *mmap(void *at, size_t length, int rights, int flags, int fd, off_t offset) {
    return mapped(at, length, rights, flags, fd, offset, REAL(mmap));
}
void *mmap64(void *at, size_t length, int rights, int flags, int fd, off64_t offset) {
    return mapped(at, length, rights, flags, fd, offset, REAL(mmap64));
}

static int controlled(int fd, int command, void *argument, int (*call)(int, int, ...)) {
    int locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK;
    /* A lock fails once only: SQLite waits for it for 10 s in a loop of its own. */
    if (locks && is_watched(fd) && ((struct flock *)argument)->l_type != F_UNLCK && fails_if(0)) return -1;
    return call(fd, command, argument);
}

#define ARGUMENT(command)                                                                                              \
    va_list rest;                                                                                                      \
    va_start(rest, command);                                                                                           \
    void *argument = va_arg(rest, void *);                                                                             \
    va_end(rest);

int fcntl(int fd, int command, ...) { ARGUMENT(command) return controlled(fd, command, argument, REAL(fcntl)); }
int fcntl64(int fd, int command, ...) { ARGUMENT(command) return controlled(fd, command, argument, REAL(fcntl64)); }

ssize_t read(int fd, void *data, size_t length) {
    return is_watched(fd) && fails() ? -1 : REAL(read)(fd, data, length);
}
ssize_t pread(int fd, void *data, size_t length, off_t offset) {
    return is_watched(fd) && fails() ? -1 : REAL(pread)(fd, data, length, offset);
}
ssize_t pread64(int fd, void *data, size_t length, off64_t offset) {
    return is_watched(fd) && fails() ? -1 : REAL(pread64)(fd, data, length, offset);
}

int close(int fd) {
    if (fd >= 0 && fd < MOST) watched[fd] = 0;
    return REAL(close)(fd);
}
