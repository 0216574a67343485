/* main.c -- argv to command; everything else is in cli/. */
#include "cli/cli.h"

#ifdef __SANITIZE_ADDRESS__
/* What a thread keeps for reuse to its end: libh2o's buffers, and the scratch of
 * answers and events. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\nleak:answer_json\nleak:write_event\nleak:l_send\n";
}
#endif

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
