/* Any text as a configuration file, any lines behind a NUL as --set: a configuration or a message.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/config.h"

enum { SETS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every key can be read, and every plugin's part is JSON of some kind. */
static void check_loaded(const struct config *config)
{
    for (const struct config_key *key = config_keys; key->name; key++) {
        const char *const *items;
        if (key->type == CONFIG_TEXT && !config_text(config, key->name))
            abort();
        if (key->type == CONFIG_LIST && config_list(config, key->name, &items) < 0)
            abort();
        if (key->type != CONFIG_INTEGER || (key->least == 0 && key->most == 0))
            continue;
        int64_t value = config_integer(config, key->name);
        if (value < key->least || value > key->most)
            abort();
    }
    struct buf out = {0};
    config_plugin(config, "demo", &out);
    if (out.n < 2)
        abort();
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n((const char *)data, size);
    size_t cut = str_find(in, '\0');
    int fd = memfd_create("config", 0);
    char path[64], *sets[SETS];
    int count = 0;
    if (fd < 0 || write(fd, in.p, cut) != (ssize_t)cut)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct str left = cut < in.n ? str_n(in.p + cut + 1, in.n - cut - 1) : str_n("", 0);
    while (left.n > 0 && count < SETS) {
        size_t n = str_find(left, '\n');
        sets[count++] = str_dup(str_n(left.p, n));
        left = n < left.n ? str_n(left.p + n + 1, left.n - n - 1) : str_n("", 0);
    }
    struct err err = {0};
    struct config *config = config_load(path, (const char *const *)sets, count, &err);
    if (config)
        check_loaded(config);
    else if (!err.message[0])
        abort();
    config_free(config);
    for (int i = 0; i < count; i++)
        mem_free(sets[i]);
    close(fd);
    return 0;
}
