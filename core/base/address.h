/* address.h -- addresses of other servers as they may be shown: without their passwords. */
#pragma once

#include "base/str.h"

/* Appends the address with "***" for its password: of user:password@ behind a scheme, and of every
 * parameter whose name has pass, secret or token in it, in a query (?password=x) or in libpq's
 * words (host=a password='x y').  When a password may reach further, too much is hidden rather than
 * too little.  Any thread. */
void address_mask(struct str address, struct buf *out);
