/* Any bytes: the guard neither crashes nor reads past them; what it lets through is what it said it
 * was, so it lets it through again. */
#include <stdint.h>
#include <stdlib.h>

#include "storage/sql_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1);
    struct err err;
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    struct str sql = {copy, size};
    if (sql_question(&sql, STR("public"), &err)) {
        struct str again = sql;
        if (sql.n > size || !sql_question(&again, STR("public"), &err) || again.n != sql.n)
            abort();
    }
    free(copy);
    return 0;
}
