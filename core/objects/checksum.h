/* checksum.h -- what a sender says its bytes are, compared with what came.  One thread at a time.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { CHECKSUM_HEX = 64 }; /* digits of a SHA-256 */
enum checksum_kind { CHECKSUM_SHA256, CHECKSUM_MD5, CHECKSUM_KINDS };

struct checksum; /* of either kind, or of both; of none it always holds */

struct checksum *checksum_create(void);
void checksum_free(struct checksum *c); /* NULL is fine */
/* Before any bytes; each false with *err ERR_INVALID when the text is none. */
bool checksum_expect_base64(struct checksum *c, enum checksum_kind kind, struct str text,
                            struct err *err);
bool checksum_expect_hex(struct checksum *c, struct str text, struct err *err); /* SHA-256 */
void checksum_add(struct checksum *c, struct str bytes);
/* Once, at the end; false with *err ERR_CONFLICT. */
bool checksum_holds(struct checksum *c, struct err *err);

/* For who has the SHA-256 in hex anyway; wanted may be empty.  ERR_CONFLICT. */
bool checksum_same(struct str wanted, const char *hex, struct err *err);
bool checksum_hex_check(struct str text, struct err *err); /* ERR_INVALID */
