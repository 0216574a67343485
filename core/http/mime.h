/* mime.h -- content type by a file name's ending. */
#pragma once

#include "base/str.h"

/* "text/html; charset=utf-8"; "application/octet-stream" when unknown. */
struct str mime_of(struct str name);
