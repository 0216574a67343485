/* file.h -- the configuration file and the pieces of config.c it fills; private to config/. */
#pragma once

#include "config/config.h"

/* Runs the file and assigns what it returns.  False with *err naming file and
 * line, or file and key. */
bool config_file(struct config *config, const char *path, struct err *err);

/* config.c.  text is what --set would give. */
bool config_assign(struct config *config, const char *name, struct str text, struct err *err);
void config_assign_plugin(struct config *config, struct str plugin, struct str key,
                          struct str json);

/* line.c.  The line of a file's text that gives the key "http.listen" its value,
 * as ["http.listen"] = … or as listen = … behind http = …; 0 when none does.  A
 * guess from the text, for messages: Lua tables do not know their lines. */
int config_line(struct str source, struct str key);
