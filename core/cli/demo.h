/* demo.h -- what `maru serve --demo` sets: the simulator on, the collectors pointed at it. */
#pragma once

enum { DEMO_SETS = 64 };

/* Fills sets with "key=value" texts, given the server's own port (0 = not known
 * yet); returns how many.  The caller frees each. */
int demo_sets(char **sets, int port);
