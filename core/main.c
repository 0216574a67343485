/* main.c -- argv to command; everything else is in cli/. */
#include "cli/cli.h"

#ifdef __SANITIZE_ADDRESS__
/* libh2o keeps each thread's buffers for reuse and has no call that frees them. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\n";
}
#endif

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
