/* program_birth.h -- how a program comes to be; private to program*.c.
 *
 * Blocks; pool threads only, which live as long as the programs: the kernel ties a
 * program's life to the thread that made it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct program_birth {
    /* owned by the program */
    char *path, **argv, **envp; /* both end with NULL */
    char *dir;                  /* a template for mkdtemp, then the folder; "" = there is none */
    /* what came of it */
    pid_t pid;
    int pidfd;
    int in, out, err; /* our ends, non-blocking; -1 = none */
    int error;        /* errno, or 0 */
    const char *what; /* that failed: static text */
    bool missing;     /* there is no such program */
};

/* False with error and what; nothing is left behind but the folder. */
bool program_give_birth(struct program_birth *birth);
/* Removes the folder with all that is in it. */
void program_remove_folder(const char *dir);
/* Removes the folders below dir that processes which are gone made. */
void program_sweep(const char *dir);
