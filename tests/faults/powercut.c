/*
 * powercut: an LD_PRELOAD shim that makes it possible to lose what was not synced, and to make syncs and writes fail.
 *
 * Every write to a regular file under $POWERCUT_DIRECTORY first appends the old octets of the pages that it touches to
 * an undo file in $POWERCUT_STATE; fsync and fdatasync forget them, since then the new octets are on the disk.  A write
 * through an O_DSYNC or O_SYNC descriptor makes its own pages durable at once, and no others.  After the process has
 * been killed the harness (shim.py) puts back the old octets of all, or of some, of the pages still in the undo file:
 * that is what a power cut may leave.  The undo file is written before the data, and by plain system calls, so that a
 * kill at any moment leaves it complete up to its last whole record.
 *
 * A sync that failed with EIO has lost the pages for good, as in Linux: the kernel calls them clean, so a later sync
 * that succeeds does not save them.  Only writing them again and syncing does.
 *
 * What an earlier process lost that way is still lost when the next one runs on the same kernel: the harness leaves the
 * records of such pages as INODE.carry in $POWERCUT_STATE, and the file's new undo file begins with them.
 *
 * $POWERCUT_CONTROL, a file of 64 octets or more, is mapped and looked at on every call, so that the harness can change
 * the behaviour of the running process; see struct control.
 *
 * Not seen: shared writable mappings (refused with a message, since they would escape), and the creation, renaming and
 * removal of files.  lock.mdb is left alone: LMDB rebuilds it.
 *
 * Undo records (native byte order): kind (1 octet), 7 octets of zero, page or size (8), length (8), then length octets.
 *   F  inode, and path at first    B  its size when all of it was durable
 *   P  old octets of a page        W  a lost page was written again
 *   D  the page became durable     S  all pages but lost ones became durable, size follows
 *   E  all pending pages are lost
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define FD_MAX 65536
#define FILES_MAX 256

enum strikes { ANY = 0, CALL = 1, WRITE = 2 }; /* fsync and fdatasync; synchronous writes */
enum sync_mode { SYNC_REAL = 0, SYNC_EIO_ONCE = 1, SYNC_EIO = 2, SYNC_DELAY = 3, SYNC_HANG = 4, SYNC_LIE = 5 };

struct control {
    _Atomic int32_t sync_mode;    /* what fsync, fdatasync and synchronous writes do */
    _Atomic int32_t delay_ms;     /* for SYNC_DELAY */
    _Atomic int32_t write_errno;  /* writes under the directory fail with this; 0: they work */
    _Atomic int32_t write_left;   /* for how many writes; negative: all */
    _Atomic int32_t syncs;        /* counted: syncs that were asked for */
    _Atomic int32_t writes;       /* counted: writes under the directory */
    _Atomic int32_t failures;     /* counted: errors that were injected */
    _Atomic int32_t waiting;      /* how many calls hang now */
    _Atomic int32_t strikes;      /* what SYNC_EIO_ONCE strikes; 0: whatever comes first */
};

struct record {
    char kind;
    char zero[7];
    uint64_t number;
    uint64_t length;
};

struct slot {
    uint64_t page; /* page number + 1; 0: free */
    int lost;
};

struct file {
    dev_t device;
    ino_t inode;
    int undo;
    pthread_mutex_t lock;
    struct slot *slots;
    size_t capacity, used;
    size_t lost;
    int begun; /* a B record stands in the undo file */
};

static struct control fallback, *control = &fallback;
static char directory[PATH_MAX], state[PATH_MAX];
static size_t directory_length;
static struct file *files[FILES_MAX];
static int file_count;
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;

/* What a descriptor is: 0 not known yet, 1 none of ours, 2 + n: files[n]. */
static _Atomic int16_t known[FD_MAX];
static _Atomic int8_t synchronous[FD_MAX];

static int active(void) { return directory_length != 0; }

static void die(const char *text)
{
    static const char prefix[] = "powercut: ";
    (void)!syscall(SYS_write, 2, prefix, sizeof prefix - 1);
    (void)!syscall(SYS_write, 2, text, strlen(text));
    (void)!syscall(SYS_write, 2, "\n", 1);
    abort();
}

__attribute__((constructor)) static void prepare(void)
{
    const char *where = getenv("POWERCUT_DIRECTORY"), *undo = getenv("POWERCUT_STATE"), *path = getenv("POWERCUT_CONTROL");
    if (where == NULL || undo == NULL)
        return;
    if (realpath(where, directory) == NULL || realpath(undo, state) == NULL)
        die("POWERCUT_DIRECTORY or POWERCUT_STATE does not exist");
    directory_length = strlen(directory);
    if (path != NULL) {
        int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
        void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (mapped == MAP_FAILED)
            die("POWERCUT_CONTROL cannot be mapped");
        syscall(SYS_close, fd);
        control = mapped;
    }
}

/* --- the undo file --- */

static void put(struct file *file, char kind, uint64_t number, const void *octets, uint64_t length)
{
    struct record head = {.kind = kind, .number = number, .length = length};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)octets, length}};
    long written = syscall(SYS_writev, file->undo, parts, length ? 2 : 1);
    if (written != (long)(sizeof head + length))
        die("the undo file cannot be written");
}

static struct slot *find(struct file *file, uint64_t page);
static void grow(struct file *file);

/* Begin with the pages that an earlier process lost; whether there were any. */
static int carried(struct file *file)
{
    char name[PATH_MAX + 64];
    struct record head;
    unsigned char octets[PATH_MAX + PAGE];
    int fd;
    snprintf(name, sizeof name, "%s/%llu.carry", state, (unsigned long long)file->inode);
    fd = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    while (syscall(SYS_read, fd, &head, sizeof head) == (long)sizeof head) {
        if (head.length > sizeof octets || syscall(SYS_read, fd, octets, head.length) != (long)head.length)
            die("a carry file is broken");
        put(file, head.kind, head.number, octets, head.length);
        if (head.kind != 'P')
            continue;
        *find(file, head.number) = (struct slot){head.number + 1, 1};
        file->lost++;
        if (++file->used * 2 > file->capacity)
            grow(file);
    }
    file->begun = 1;
    syscall(SYS_close, fd);
    syscall(SYS_unlinkat, AT_FDCWD, name, 0);
    return 1;
}

static struct file *opened(const struct stat *status, const char *path)
{
    char name[PATH_MAX + 64];
    struct file *file;
    for (int i = 0; i < file_count; i++)
        if (files[i]->device == status->st_dev && files[i]->inode == status->st_ino)
            return files[i];
    if (file_count == FILES_MAX)
        die("too many files");
    file = calloc(1, sizeof *file);
    file->device = status->st_dev;
    file->inode = status->st_ino;
    pthread_mutex_init(&file->lock, NULL);
    snprintf(name, sizeof name, "%s/%d.%d.undo", state, (int)getpid(), file_count);
    file->undo = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (file->undo < 0)
        die("the undo file cannot be made");
    file->capacity = 1024;
    file->slots = calloc(file->capacity, sizeof *file->slots);
    if (!carried(file))
        put(file, 'F', status->st_ino, path, strlen(path));
    files[file_count++] = file;
    return file;
}

static int classified(int fd)
{
    char link[64], path[PATH_MAX];
    struct stat status;
    ssize_t length;
    int kind = 1, flags;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return 1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 1;
    path[length] = 0;
    if (strncmp(path, directory, directory_length) != 0 || path[directory_length] != '/')
        return 1;
    if (length > 9 && strcmp(path + length - 9, "/lock.mdb") == 0)
        return 1;
    pthread_mutex_lock(&files_lock);
    struct file *file = opened(&status, path);
    for (int i = 0; i < file_count; i++)
        if (files[i] == file)
            kind = 2 + i;
    pthread_mutex_unlock(&files_lock);
    flags = fcntl(fd, F_GETFL);
    synchronous[fd] = (flags & O_DSYNC) != 0; /* O_SYNC contains O_DSYNC */
    return kind;
}

static struct file *tracked(int fd)
{
    int saved = errno, kind;
    if (!active() || fd < 0 || fd >= FD_MAX)
        return NULL;
    kind = known[fd];
    if (kind == 0) {
        kind = classified(fd);
        known[fd] = kind;
    }
    errno = saved;
    return kind < 2 ? NULL : files[kind - 2];
}

static void forget(int fd)
{
    if (fd >= 0 && fd < FD_MAX)
        known[fd] = 0;
}

/* --- the set of pages that are not durable --- */

static struct slot *find(struct file *file, uint64_t page)
{
    size_t at = (page * 0x9E3779B97F4A7C15ull >> 20) & (file->capacity - 1);
    while (file->slots[at].page != 0 && file->slots[at].page != page + 1)
        at = (at + 1) & (file->capacity - 1);
    return &file->slots[at];
}

static void grow(struct file *file)
{
    struct slot *old = file->slots;
    size_t count = file->capacity;
    file->capacity *= 2;
    file->slots = calloc(file->capacity, sizeof *file->slots);
    for (size_t i = 0; i < count; i++)
        if (old[i].page != 0)
            *find(file, old[i].page - 1) = old[i];
    free(old);
}

static void clear(struct file *file)
{
    free(file->slots);
    file->capacity = 1024;
    file->slots = calloc(file->capacity, sizeof *file->slots);
    file->used = file->lost = 0;
}

/* Take page out of the set; the open-addressed table is rebuilt, which is cheap since it happens for meta pages only. */
static void drop(struct file *file, uint64_t page)
{
    struct slot *slot = find(file, page), *old = file->slots;
    if (slot->page == 0)
        return;
    file->lost -= slot->lost;
    if (--file->used == 0) {
        *slot = (struct slot){0, 0};
        return;
    }
    slot->page = UINT64_MAX;
    file->slots = calloc(file->capacity, sizeof *file->slots);
    for (size_t i = 0; i < file->capacity; i++)
        if (old[i].page != 0 && old[i].page != UINT64_MAX)
            *find(file, old[i].page - 1) = old[i];
    free(old);
}

static void begin(struct file *file, int fd)
{
    struct stat status;
    if (file->begun)
        return;
    if (fstat(fd, &status) != 0)
        die("fstat failed");
    put(file, 'B', status.st_size, NULL, 0);
    file->begun = 1;
}

/* Before octets from..from+length change: keep the old octets of each page that is durable now. */
static void keep(struct file *file, int fd, uint64_t from, uint64_t length)
{
    unsigned char octets[PAGE];
    if (length == 0)
        return;
    begin(file, fd);
    for (uint64_t page = from / PAGE; page <= (from + length - 1) / PAGE; page++) {
        struct slot *slot = find(file, page);
        if (slot->page != 0) {
            if (slot->lost) {
                put(file, 'W', page, NULL, 0);
                slot->lost = 0;
                file->lost--;
            }
            continue;
        }
        long got = syscall(SYS_pread64, fd, octets, PAGE, page * PAGE);
        if (got < 0) { /* the descriptor is write-only: look through a second one */
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            int reader = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
            got = reader < 0 ? -1 : syscall(SYS_pread64, reader, octets, PAGE, page * PAGE);
            if (reader >= 0)
                syscall(SYS_close, reader);
            if (got < 0)
                die("old octets cannot be read");
        }
        put(file, 'P', page, octets, got);
        slot->page = page + 1;
        if (++file->used * 2 > file->capacity)
            grow(file);
    }
}

static void all_durable(struct file *file, int fd)
{
    struct stat status;
    if (file->lost == 0) {
        clear(file);
        file->begun = 0;
        if (syscall(SYS_ftruncate, file->undo, 0) != 0)
            die("the undo file cannot be emptied");
        put(file, 'F', file->inode, NULL, 0);
        return;
    }
    fstat(fd, &status);
    put(file, 'S', status.st_size, NULL, 0);
    struct slot *old = file->slots;
    file->slots = calloc(file->capacity, sizeof *file->slots);
    file->used = 0;
    for (size_t i = 0; i < file->capacity; i++)
        if (old[i].page != 0 && old[i].lost) {
            *find(file, old[i].page - 1) = old[i];
            file->used++;
        }
    free(old);
}

static void all_lost(struct file *file)
{
    put(file, 'E', 0, NULL, 0);
    for (size_t i = 0; i < file->capacity; i++)
        if (file->slots[i].page != 0)
            file->slots[i].lost = 1;
    file->lost = file->used;
}

/* --- injected faults --- */

static void pause_ms(int ms)
{
    struct timespec span = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&span, NULL);
}

/* The sync mode in force, after any waiting. */
static int sync_mode(int kind)
{
    int mode = control->sync_mode;
    control->syncs++;
    if (mode == SYNC_EIO_ONCE && control->strikes != ANY && control->strikes != kind)
        return SYNC_REAL;
    if (mode == SYNC_EIO_ONCE) {
        int expected = SYNC_EIO_ONCE;
        return __atomic_compare_exchange_n((int32_t *)&control->sync_mode, &expected, SYNC_REAL, 0, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST)
                   ? SYNC_EIO
                   : SYNC_REAL;
    }
    if (mode == SYNC_DELAY)
        pause_ms(control->delay_ms);
    control->waiting++;
    while (control->sync_mode == SYNC_HANG)
        pause_ms(5);
    control->waiting--;
    return mode == SYNC_HANG ? control->sync_mode : mode;
}

static int write_fails(void)
{
    control->writes++;
    if (control->write_errno == 0 || control->write_left == 0)
        return 0;
    if (control->write_left > 0)
        control->write_left--;
    control->failures++;
    errno = control->write_errno;
    return 1;
}

/* --- the calls --- */

static uint64_t total(const struct iovec *parts, int count)
{
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += parts[i].iov_len;
    return sum;
}

/* One write to a tracked file; offset < 0: at the descriptor's own position. */
static ssize_t write_tracked(struct file *file, int fd, const struct iovec *parts, int count, off_t offset)
{
    uint64_t length = total(parts, count);
    off_t from = offset;
    ssize_t written;
    if (write_fails())
        return -1;
    pthread_mutex_lock(&file->lock);
    if (offset < 0) {
        struct stat status;
        int flags = fcntl(fd, F_GETFL);
        from = syscall(SYS_lseek, fd, 0, SEEK_CUR);
        if ((flags & O_APPEND) && fstat(fd, &status) == 0)
            from = status.st_size;
    }
    keep(file, fd, from, length);
    written = offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0);
    if (written > 0 && synchronous[fd]) {
        int mode = sync_mode(WRITE);
        if (mode == SYNC_EIO) {
            control->failures++;
            all_lost(file);
            errno = EIO;
            written = -1;
        } else if (mode != SYNC_LIE) {
            for (uint64_t page = from / PAGE; page <= ((uint64_t)from + written - 1) / PAGE; page++) {
                put(file, 'D', page, NULL, 0);
                drop(file, page);
            }
        }
    }
    pthread_mutex_unlock(&file->lock);
    return written;
}

static int sync_tracked(struct file *file, int fd, long call)
{
    int mode, result = 0;
    pthread_mutex_lock(&file->lock);
    mode = sync_mode(CALL);
    if (mode == SYNC_EIO) {
        control->failures++;
        all_lost(file);
        errno = EIO;
        result = -1;
    } else if (mode != SYNC_LIE) {
        result = syscall(call, fd);
        if (result == 0)
            all_durable(file, fd);
    }
    pthread_mutex_unlock(&file->lock);
    return result;
}

ssize_t write(int fd, const void *octets, size_t length)
{
    struct file *file = tracked(fd);
    struct iovec part = {(void *)octets, length};
    return file ? write_tracked(file, fd, &part, 1, -1) : syscall(SYS_write, fd, octets, length);
}

ssize_t pwrite(int fd, const void *octets, size_t length, off_t offset)
{
    struct file *file = tracked(fd);
    struct iovec part = {(void *)octets, length};
    return file ? write_tracked(file, fd, &part, 1, offset) : syscall(SYS_pwrite64, fd, octets, length, offset);
}

ssize_t pwrite64(int fd, const void *octets, size_t length, off64_t offset) { return pwrite(fd, octets, length, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct file *file = tracked(fd);
    return file ? write_tracked(file, fd, parts, count, -1) : syscall(SYS_writev, fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    struct file *file = tracked(fd);
    return file ? write_tracked(file, fd, parts, count, offset) : syscall(SYS_pwritev, fd, parts, count, offset, 0);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return pwritev(fd, parts, count, offset);
}

/* The flags (RWF_DSYNC and the like) are not used by anybody here: with any of them, refuse to guess. */
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    if (flags != 0 && tracked(fd) != NULL)
        die("pwritev2 with flags is not known to the shim");
    return tracked(fd) ? pwritev(fd, parts, count, offset)
                       : syscall(SYS_pwritev2, fd, parts, count, offset, 0, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
    return pwritev2(fd, parts, count, offset, flags);
}

/* Octets copied inside the kernel would escape: say what makes callers fall back to read and write. */
ssize_t sendfile64(int to, int from, off64_t *offset, size_t count)
{
    if (tracked(to) != NULL) {
        errno = ENOTSOCK;
        return -1;
    }
    return syscall(SYS_sendfile, to, from, offset, count);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t count, unsigned flags)
{
    if (tracked(to) != NULL) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, count, flags);
}

int fsync(int fd)
{
    struct file *file = tracked(fd);
    return file ? sync_tracked(file, fd, SYS_fsync) : syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    struct file *file = tracked(fd);
    return file ? sync_tracked(file, fd, SYS_fdatasync) : syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t length)
{
    struct file *file = tracked(fd);
    struct stat status;
    int result;
    if (file == NULL)
        return syscall(SYS_ftruncate, fd, length);
    if (write_fails())
        return -1;
    pthread_mutex_lock(&file->lock);
    begin(file, fd);
    if (fstat(fd, &status) == 0 && length < status.st_size)
        keep(file, fd, length, status.st_size - length);
    result = syscall(SYS_ftruncate, fd, length);
    pthread_mutex_unlock(&file->lock);
    return result;
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    struct file *file = tracked(fd);
    int result;
    if (file == NULL)
        return syscall(SYS_fallocate, fd, mode, offset, length);
    if (write_fails())
        return -1;
    pthread_mutex_lock(&file->lock);
    begin(file, fd);
    result = syscall(SYS_fallocate, fd, mode, offset, length);
    pthread_mutex_unlock(&file->lock);
    return result;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }

int posix_fallocate(int fd, off_t offset, off_t length)
{
    int saved = errno, result = fallocate(fd, 0, offset, length) == 0 ? 0 : errno;
    errno = saved;
    return result;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && tracked(fd) != NULL)
        die("a shared writable mapping of a tracked file would escape the shim");
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
    return mmap(address, length, protection, flags, fd, offset);
}

/* A descriptor may have been closed inside libc, unseen: whatever opens a file forgets what its number meant. */
static int open_as(int folder, const char *path, int flags, int mode)
{
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    forget(fd);
    return fd;
}

#define MODE(flags, last) \
    int mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list more; \
        va_start(more, last); \
        mode = va_arg(more, int); \
        va_end(more); \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags, flags)
    return open_as(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags, flags)
    return open_as(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE(flags, flags)
    return open_as(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE(flags, flags)
    return open_as(folder, path, flags, mode);
}

int close(int fd)
{
    forget(fd);
    return syscall(SYS_close, fd);
}

int fclose(FILE *stream)
{
    static int (*real)(FILE *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "fclose");
    forget(fileno(stream));
    return real(stream);
}

int dup2(int from, int to)
{
    if (from != to)
        forget(to);
    return syscall(SYS_dup2, from, to);
}

int dup3(int from, int to, int flags)
{
    forget(to);
    return syscall(SYS_dup3, from, to, flags);
}
