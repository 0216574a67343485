/* kafka.c */
#include "events/private.h"
static bool open_kafka(struct events *events, struct err *err)
{
    (void)events;
    return err_set(err, ERR_INVALID, "events.driver = \"kafka\" is not there");
}
const struct events_driver events_kafka = {.name = "kafka", .open = open_kafka};
