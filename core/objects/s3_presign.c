/* s3_presign.c -- URLs of S3's own.  It cannot bound the size of what is put by one, and shows
 * what it was told an object is, be it a page of a stranger's: such URLs are the host's.
 */
#include "base/clock.h"
#include "objects/s3_private.h"
#include "objects/ticket.h"

bool s3_presign(struct objects *store, const struct object_presign *p, struct buf *out)
{
    const struct s3 *s3 = (const struct s3 *)store;
    struct sigv4_keys keys = {str_c(s3->id), str_c(s3->secret), str_c(s3->token), str_c(s3->region),
                              STR("s3")};
    struct sigv4_pair headers[2] = {{STR("host"), str_c(s3->host)}}, query[2];
    struct buf path = {0}, disposition = {0};
    struct sigv4_request r = {.method = p->put ? STR("PUT") : STR("GET"),
                              .headers = headers,
                              .header_count = 1,
                              .query = query,
                              .payload = STR("UNSIGNED-PAYLOAD"),
                              .at = clock_wall_ns() / NS_PER_SECOND};
    if (p->put ? p->max_bytes > 0 : p->shown && !p->type.n)
        return false;
    if (p->put && p->type.n)
        headers[r.header_count++] = (struct sigv4_pair){STR("content-type"), p->type};
    if (!p->put) {
        ticket_disposition(&disposition, p->name, p->shown && ticket_is_harmless(p->type));
        query[r.query_count++] =
            (struct sigv4_pair){STR("response-content-disposition"), buf_str(&disposition)};
        if (p->type.n)
            query[r.query_count++] = (struct sigv4_pair){STR("response-content-type"), p->type};
    }
    buf_printf(&path, "%s/%s/%.*s", s3->base, p->plugin, (int)p->key.n, p->key.p);
    r.path = buf_str(&path);
    buf_add_c(out, s3->origin);
    sigv4_encode(out, r.path, true);
    buf_add_char(out, '?');
    sigv4_presign(out, &keys, &r, p->expires_s);
    buf_free(&path);
    buf_free(&disposition);
    return true;
}
