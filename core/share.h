/* share.h -- files that come with the program: plugins/, public/, etc/. */
#pragma once

/* Looks for `name` beside the program (a build folder inside the source tree
 * counts) and in <prefix>/share/maru.  A path the caller frees, or NULL. */
char *share_find(const char *name);

/* "a:b" → { "a", "b", NULL }; the caller frees each and the list.  A relative
 * folder that is not there is looked for beside the program. */
char **share_plugin_dirs(const char *path);
