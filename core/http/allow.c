#include "http/allow.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

/* -- names ---------------------------------------------------------------------------------- */

/* An address, or "" for a name. */
struct literal {
    int family; /* 0: it is a name */
    unsigned char bytes[16];
};

static struct literal parse_literal(struct str host)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct literal l = {0};
    if (host.n >= sizeof text)
        return l;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (inet_pton(AF_INET, text, l.bytes) == 1)
        l.family = AF_INET;
    else if (inet_pton(AF_INET6, text, l.bytes) == 1)
        l.family = AF_INET6;
    return l;
}

/* Whether resolvers may take the last part for a number (WHATWG URL, "ends in a number"). */
static bool ends_in_number(struct str host)
{
    size_t at = host.n;
    while (at > 0 && host.p[at - 1] != '.')
        at--;
    struct str last = str_n(host.p + at, host.n - at);
    bool digits = last.n > 0;
    for (size_t i = 0; i < last.n; i++)
        digits = digits && isdigit((unsigned char)last.p[i]);
    return digits || str_starts(last, STR("0x"));
}

static bool is_name(struct str host)
{
    bool part = false;
    for (size_t i = 0; i < host.n; i++) {
        unsigned char c = (unsigned char)host.p[i];
        if (c == '.' && !part)
            return false;
        if (c != '.' && c != '-' && c != '_' && !isdigit(c) && !(c >= 'a' && c <= 'z'))
            return false;
        part = c != '.';
    }
    return part;
}

bool allow_normalize(struct str *host)
{
    if (parse_literal(*host).family)
        return true;
    if (host->n > 1 && host->p[host->n - 1] == '.')
        host->n--;
    return is_name(*host) && !ends_in_number(*host);
}

/* -- entries -------------------------------------------------------------------------------- */

static bool port_matches(struct str pattern, int port)
{
    long long number;
    return str_int64(pattern, &number) && number == port;
}

static bool host_matches(struct str pattern, struct str host)
{
    struct literal wanted = parse_literal(pattern), got = parse_literal(host);
    if (wanted.family || got.family)
        return wanted.family == got.family &&
               memcmp(wanted.bytes, got.bytes, sizeof got.bytes) == 0;
    if (!str_starts(pattern, STR("*.")))
        return str_eq(pattern, host);
    struct str tail = str_n(pattern.p + 1, pattern.n - 1); /* ".host" */
    return host.n > tail.n && str_eq(str_n(host.p + host.n - tail.n, tail.n), tail);
}

static enum allow_reach entry_reach(struct str entry, struct str host, int port)
{
    bool private = str_starts(entry, STR("private:"));
    if (private)
        entry = str_n(entry.p + 8, entry.n - 8);
    size_t colon = entry.n;
    while (colon > 0 && entry.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || !port_matches(str_n(entry.p + colon, entry.n - colon), port))
        return ALLOW_NO;
    struct str name = str_n(entry.p, colon - 1);
    if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        name = str_n(name.p + 1, name.n - 2);
    if (!host_matches(name, host))
        return ALLOW_NO;
    private = private || parse_literal(name).family || str_eq_c(name, "localhost");
    return private ? ALLOW_PRIVATE : ALLOW_PUBLIC;
}

enum allow_reach allow_host(const struct allow_list *list, struct str host, int port)
{
    enum allow_reach most = ALLOW_NO;
    for (int i = 0; i < list->count; i++) {
        enum allow_reach reach = entry_reach(str_c(list->entries[i]), host, port);
        if (reach > most)
            most = reach;
    }
    return most;
}

/* -- addresses ------------------------------------------------------------------------------ */

enum address_kind { ADDRESS_PUBLIC, ADDRESS_PRIVATE, ADDRESS_NEVER };

/* The special-purpose blocks (RFC 6890 and the IANA registry) that matter for a client; the
 * first that matches counts. */
static enum address_kind kind_v4(uint32_t a)
{
    static const struct {
        uint32_t net, mask;
        enum address_kind kind;
    } blocks[] = {
        {0x00000000, 0xff000000, ADDRESS_NEVER},   /* 0/8 */
        {0x0a000000, 0xff000000, ADDRESS_PRIVATE}, /* 10/8 */
        {0x646464c8, 0xffffffff, ADDRESS_NEVER},   /* 100.100.100.200: metadata at Alibaba */
        {0x64400000, 0xffc00000, ADDRESS_PRIVATE}, /* 100.64/10 */
        {0x7f000000, 0xff000000, ADDRESS_PRIVATE}, /* loopback */
        {0xa83f8110, 0xffffffff, ADDRESS_NEVER},   /* 168.63.129.16: the host at Azure */
        {0xa9fe0000, 0xffff0000, ADDRESS_NEVER},   /* link-local, metadata */
        {0xac100000, 0xfff00000, ADDRESS_PRIVATE}, /* 172.16/12 */
        {0xc0000000, 0xffffff00, ADDRESS_NEVER},   /* 192.0.0/24, metadata at Oracle */
        {0xc0000200, 0xffffff00, ADDRESS_NEVER},   /* 192.0.2/24, documentation */
        {0xc0586300, 0xffffff00, ADDRESS_NEVER},   /* 192.88.99/24, 6to4 relays */
        {0xc0a80000, 0xffff0000, ADDRESS_PRIVATE}, /* 192.168/16 */
        {0xc6120000, 0xfffe0000, ADDRESS_PRIVATE}, /* 198.18/15, benchmarks */
        {0xc6336400, 0xffffff00, ADDRESS_NEVER},   /* 198.51.100/24, documentation */
        {0xcb007100, 0xffffff00, ADDRESS_NEVER},   /* 203.0.113/24, documentation */
        {0xe0000000, 0xe0000000, ADDRESS_NEVER},   /* multicast, reserved, broadcast */
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if ((a & blocks[i].mask) == blocks[i].net)
            return blocks[i].kind;
    return ADDRESS_PUBLIC;
}

static uint32_t v4_in(const uint8_t *bytes)
{
    uint32_t a;
    memcpy(&a, bytes, sizeof a);
    return ntohl(a);
}

/* Forms that carry an IPv4 address and are judged by it: where its bytes begin, or -1. */
static int v4_inside(const struct in6_addr *a)
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t translated[12] = {[8] = 0xff, [9] = 0xff}; /* ::ffff:0:a.b.c.d */
    static const uint8_t isatap[4] = {0x00, 0x00, 0x5e, 0xfe};
    const uint8_t *b = a->s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a) || memcmp(b, nat64, 12) == 0 ||
        memcmp(b, translated, 12) == 0)
        return 12;
    if (b[0] == 0x20 && b[1] == 0x02) /* 6to4 */
        return 2;
    /* ISATAP, whose second byte says whether the address is unique. */
    bool tunnel = (b[8] & 0xfd) == isatap[0] && memcmp(b + 9, isatap + 1, 3) == 0;
    return tunnel ? 12 : -1;
}

static enum address_kind block_v6(const struct in6_addr *a)
{
    static const struct {
        uint8_t net[8];
        int bits;
        enum address_kind kind;
    } blocks[] = {
        {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, ADDRESS_NEVER}, /* NAT64 of a network's own */
        {{0x01}, 64, ADDRESS_NEVER},                               /* 100::/64, discarded */
        {{0x20, 0x01}, 23, ADDRESS_NEVER},                         /* Teredo, ORCHID, protocols */
        {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDRESS_NEVER},             /* documentation */
        {{0x3f, 0xff}, 20, ADDRESS_NEVER},                         /* documentation */
        {{0x5f}, 16, ADDRESS_NEVER},                               /* segment routing */
        {{0xfd, 0x00, 0x0e, 0xc2}, 32, ADDRESS_NEVER},             /* metadata at Amazon */
        {{0xfd, 0x20, 0x00, 0xce}, 32, ADDRESS_NEVER},             /* metadata at Google */
        {{0xfc}, 7, ADDRESS_PRIVATE},                              /* unique local */
        {{0xfe, 0x80}, 10, ADDRESS_NEVER},                         /* link-local */
        {{0xfe, 0xc0}, 10, ADDRESS_PRIVATE},                       /* site-local */
        {{0xff}, 8, ADDRESS_NEVER},                                /* multicast */
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        int bytes = blocks[i].bits / 8, rest = blocks[i].bits % 8;
        uint8_t mask = (uint8_t)(0xff00 >> rest);
        if (memcmp(a->s6_addr, blocks[i].net, (size_t)bytes) == 0 &&
            (!rest || (a->s6_addr[bytes] & mask) == (blocks[i].net[bytes] & mask)))
            return blocks[i].kind;
    }
    return ADDRESS_PUBLIC;
}

static enum address_kind kind_v6(const struct in6_addr *a)
{
    if (IN6_IS_ADDR_LOOPBACK(a))
        return ADDRESS_PRIVATE;
    if (IN6_IS_ADDR_UNSPECIFIED(a))
        return ADDRESS_NEVER;
    enum address_kind kind = block_v6(a);
    int at = v4_inside(a);
    enum address_kind inside = at < 0 ? ADDRESS_PUBLIC : kind_v4(v4_in(a->s6_addr + at));
    return inside > kind ? inside : kind;
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

bool allow_address_text(enum allow_reach reach, const char *address)
{
    struct literal l = parse_literal(str_n(address, strcspn(address, "%")));
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    memcpy(&v4.sin_addr, l.bytes, sizeof v4.sin_addr);
    memcpy(&v6.sin6_addr, l.bytes, sizeof v6.sin6_addr);
    if (l.family == AF_INET)
        return allow_address(reach, (struct sockaddr *)&v4);
    return l.family == AF_INET6 && allow_address(reach, (struct sockaddr *)&v6);
}
