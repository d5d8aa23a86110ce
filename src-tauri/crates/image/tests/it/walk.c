/* Runs inside the guest: walks a folder, reads every byte of it, and says what it saw.
 *
 *   walk FOLDER [FILE]
 *
 * prints for each entry "walk: KIND SIZE DIGEST PATH" (the digest is FNV-1a of a file's content or a
 * symlink's target, the path is in hexadecimal), then "walk: end COUNT". With FILE it writes
 * "written by the guest" into it first. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned long count;

static uint64_t digest(uint64_t state, const unsigned char *bytes, size_t length) {
    for (size_t at = 0; at < length; at++)
        state = (state ^ bytes[at]) * UINT64_C(0x100000001b3);
    return state;
}

static void fail(const char *what, const char *path) {
    printf("walk: failed to %s %s\n", what, path);
    fflush(stdout);
    exit(1);
}

static void report(const char *kind, uint64_t size, uint64_t sum, const char *path) {
    printf("walk: %s %" PRIu64 " %016" PRIx64 " ", kind, size, sum);
    for (; *path; path++)
        printf("%02x", (unsigned char)*path);
    printf("\n");
    count++;
}

static void walk(const char *folder) {
    static unsigned char buffer[65536];
    DIR *directory = opendir(folder);
    if (!directory)
        fail("open", folder);
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char path[4200];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        struct stat status;
        if (lstat(path, &status))
            fail("stat", path);
        uint64_t sum = UINT64_C(0xcbf29ce484222325), size = 0;
        if (S_ISDIR(status.st_mode)) {
            report("dir", 0, sum, path);
            walk(path);
        } else if (S_ISLNK(status.st_mode)) {
            ssize_t length = readlink(path, (char *)buffer, sizeof buffer);
            if (length < 0)
                fail("read the link", path);
            report("link", length, digest(sum, buffer, length), path);
        } else {
            int file = open(path, O_RDONLY);
            if (file < 0)
                fail("open", path);
            ssize_t length;
            while ((length = read(file, buffer, sizeof buffer)) > 0) {
                sum = digest(sum, buffer, length);
                size += length;
            }
            if (length < 0 || size != (uint64_t)status.st_size)
                fail("read", path);
            close(file);
            report("file", size, sum, path);
        }
    }
    closedir(directory);
}

int main(int argc, char **argv) {
    if (argc > 2) {
        FILE *file = fopen(argv[2], "w");
        if (!file || fputs("written by the guest", file) < 0 || fclose(file))
            fail("write", argv[2]);
        sync();
    }
    walk(argv[1]);
    printf("walk: end %lu\n", count);
    fflush(stdout);
    return 0;
}
