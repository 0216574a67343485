/* Any bytes as a cron pattern and as a zone file: neither crashes, reads past its bytes or goes
 * on for ever, and instants only grow. */
#include <stdint.h>
#include <stdlib.h>

#include "cron/schedule.h"
#include "cron/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str usual = {"30 2 * * *", 10};
    size_t cut = size ? data[0] % 64 : 0; /* so much is the pattern, the rest the zone */
    char *copy = malloc(size ? size : 1);
    struct schedule s;
    struct err err = {0};
    int64_t out[5];
    memcpy(copy, data, size);
    if (cut > size)
        cut = size;
    struct zone *zone = zone_parse(str_n(copy + cut, size - cut), &err);
    if (!schedule_parse(str_n(copy, cut), &s, &err))
        schedule_parse(usual, &s, &err);
    if (!zone)
        zone = zone_load(NULL, STR("Europe/London"), &err);
    int n = zone ? schedule_next_n(&s, zone, 1700000000, out, 5) : 0;
    for (int i = 1; i < n; i++)
        if (out[i] <= out[i - 1])
            abort();
    zone_free(zone);
    free(copy);
    return 0;
}
