#include "http/allow.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

bool allow_is_literal(struct str host)
{
    char text[64];
    struct in6_addr v6;
    struct in_addr v4;
    if (str_eq_c(host, "localhost"))
        return true;
    if (host.n >= sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    return inet_pton(AF_INET, text, &v4) == 1 || inet_pton(AF_INET6, text, &v6) == 1;
}

static bool port_matches(struct str pattern, int port)
{
    long long number;
    return str_eq_c(pattern, "*") || (str_int64(pattern, &number) && number == port);
}

static bool host_matches(struct str pattern, struct str host)
{
    if (!str_starts(pattern, STR("*.")))
        return str_eq(pattern, host);
    struct str tail = str_n(pattern.p + 1, pattern.n - 1); /* ".host" */
    return host.n > tail.n && str_eq(str_n(host.p + host.n - tail.n, tail.n), tail);
}

enum allow_reach allow_host(const struct allow_list *list, struct str host, int port)
{
    for (int i = 0; i < list->count; i++) {
        struct str entry = str_c(list->entries[i]);
        size_t colon = entry.n;
        while (colon > 0 && entry.p[colon - 1] != ':')
            colon--;
        if (colon == 0)
            continue;
        struct str name = str_n(entry.p, colon - 1);
        struct str port_text = str_n(entry.p + colon, entry.n - colon);
        if (name.n > 2 && name.p[0] == '[')
            name = str_n(name.p + 1, name.n - 2);
        if (port_matches(port_text, port) && host_matches(name, host))
            return allow_is_literal(name) ? ALLOW_PRIVATE : ALLOW_PUBLIC;
    }
    return ALLOW_NO;
}

enum address_kind { ADDRESS_PUBLIC, ADDRESS_PRIVATE, ADDRESS_NEVER };

/* RFC 6890's special-purpose blocks that matter for a client. */
static enum address_kind kind_v4(uint32_t a)
{
    static const struct {
        uint32_t net, mask;
        enum address_kind kind;
    } blocks[] = {
        {0x00000000, 0xff000000, ADDRESS_NEVER},   /* 0.0.0.0/8 */
        {0x0a000000, 0xff000000, ADDRESS_PRIVATE}, /* 10/8 */
        {0x64400000, 0xffc00000, ADDRESS_PRIVATE}, /* 100.64/10 */
        {0x7f000000, 0xff000000, ADDRESS_PRIVATE}, /* loopback */
        {0xa9fe0000, 0xffff0000, ADDRESS_NEVER},   /* link-local, metadata */
        {0xac100000, 0xfff00000, ADDRESS_PRIVATE}, /* 172.16/12 */
        {0xc0a80000, 0xffff0000, ADDRESS_PRIVATE}, /* 192.168/16 */
        {0xe0000000, 0xe0000000, ADDRESS_NEVER},   /* multicast, reserved, broadcast */
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if ((a & blocks[i].mask) == blocks[i].net)
            return blocks[i].kind;
    return ADDRESS_PUBLIC;
}

/* Forms that carry an IPv4 address are judged by that address. */
static enum address_kind kind_v6(const struct in6_addr *a)
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    const uint8_t *b = a->s6_addr;
    uint32_t last;
    memcpy(&last, b + 12, sizeof last);
    if (IN6_IS_ADDR_LOOPBACK(a))
        return ADDRESS_PRIVATE;
    if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a) || memcmp(b, nat64, 12) == 0)
        return kind_v4(ntohl(last));
    if (b[0] == 0x20 && b[1] == 0x02) { /* 6to4 */
        memcpy(&last, b + 2, sizeof last);
        return kind_v4(ntohl(last));
    }
    if (IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_MULTICAST(a) || IN6_IS_ADDR_UNSPECIFIED(a))
        return ADDRESS_NEVER;
    if ((b[0] & 0xfe) == 0xfc || IN6_IS_ADDR_SITELOCAL(a))
        return ADDRESS_PRIVATE;
    return ADDRESS_PUBLIC;
}

bool allow_address(enum allow_reach reach, const struct sockaddr *address)
{
    enum address_kind kind = ADDRESS_NEVER;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        kind = kind_v4(ntohl(v4.sin_addr.s_addr));
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        kind = kind_v6(&v6.sin6_addr);
    }
    if (kind == ADDRESS_PRIVATE)
        return reach == ALLOW_PRIVATE;
    return kind == ADDRESS_PUBLIC && reach != ALLOW_NO;
}
