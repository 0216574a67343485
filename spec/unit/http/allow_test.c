#include <arpa/inet.h>
#include <netinet/in.h>

#include "http/allow.h"
#include "test.h"

static enum allow_reach reach(const char *entry, const char *host, int port)
{
    const char *entries[] = {entry};
    struct allow_list list = {entries, 1};
    return allow_host(&list, str_c(host), port);
}

static bool reaches(enum allow_reach how, const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return allow_address(how, (struct sockaddr *)&v4);
    if (inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        return false;
    return allow_address(how, (struct sockaddr *)&v6);
}

TEST(an_entry_names_host_and_port)
{
    CHECK(reach("api.example.com:443", "api.example.com", 443) == ALLOW_PUBLIC);
    CHECK(reach("api.example.com:443", "api.example.com", 80) == ALLOW_NO);
    CHECK(reach("api.example.com:443", "evil-api.example.com", 443) == ALLOW_NO);
    CHECK(reach("api.example.com:443", "api.example.com.evil.net", 443) == ALLOW_NO);
    CHECK(reach("api.example.com:*", "api.example.com", 8443) == ALLOW_NO);
}

TEST(a_star_takes_names_below_the_host_only)
{
    CHECK(reach("*.example.com:443", "a.b.example.com", 443) == ALLOW_PUBLIC);
    CHECK(reach("*.example.com:443", "example.com", 443) == ALLOW_NO);
    CHECK(reach("*.example.com:443", "notexample.com", 443) == ALLOW_NO);
    CHECK(reach("*.example.com:443", ".example.com", 443) == ALLOW_NO);
    CHECK(reach("*.0.0.1:80", "127.0.0.1", 80) == ALLOW_NO);
}

TEST(an_entry_without_a_port_matches_nothing)
{
    CHECK(reach("example.com", "example.com", 443) == ALLOW_NO);
    CHECK(reach("example.com:", "example.com", 443) == ALLOW_NO);
    CHECK(reach(":443", "", 443) == ALLOW_NO);
    CHECK(reach("", "example.com", 443) == ALLOW_NO);
}

TEST(only_an_address_localhost_or_the_word_private_opens_private_addresses)
{
    CHECK(reach("127.0.0.1:8080", "127.0.0.1", 8080) == ALLOW_PRIVATE);
    CHECK(reach("[::1]:8080", "::1", 8080) == ALLOW_PRIVATE);
    CHECK(reach("localhost:8080", "localhost", 8080) == ALLOW_PRIVATE);
    CHECK(reach("private:db.internal:8080", "db.internal", 8080) == ALLOW_PRIVATE);
    CHECK(reach("private:*.internal:8080", "db.internal", 8080) == ALLOW_PRIVATE);
    CHECK(reach("private:db.internal:8080", "private", 8080) == ALLOW_NO);
    CHECK(reach("db.internal:8080", "db.internal", 8080) == ALLOW_PUBLIC);
    CHECK(reach("*.localhost:8080", "a.localhost", 8080) == ALLOW_PUBLIC);
}

TEST(the_widest_of_several_entries_counts)
{
    const char *entries[] = {"db:1", "private:db:1", "*.db:1"};
    struct allow_list list = {entries, 3};
    CHECK(allow_host(&list, STR("db"), 1) == ALLOW_PRIVATE);
    CHECK(allow_host(&list, STR("x.db"), 1) == ALLOW_PUBLIC);
}

TEST(addresses_are_compared_as_numbers)
{
    CHECK(reach("[::1]:80", "0:0:0:0:0:0:0:1", 80) == ALLOW_PRIVATE);
    CHECK(reach("[2001:DB8::A]:80", "2001:db8:0::a", 80) == ALLOW_PRIVATE);
    CHECK(reach("127.0.0.1:80", "::ffff:127.0.0.1", 80) == ALLOW_NO);
    CHECK(reach("[::ffff:127.0.0.1]:80", "127.0.0.1", 80) == ALLOW_NO);
}

static bool normalizes(const char *text, const char *to)
{
    struct str host = str_c(text);
    return allow_normalize(&host) && str_eq_c(host, to);
}

TEST(one_spelling_of_a_host_is_compared)
{
    static const char *const wrong[] = {
        "",
        ".",
        "a..b",
        ".a",
        "a.b..",
        "a b",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.01",
        "127.1",
        "127.0.0.1.",
        "1.2.3.4.5",
        "example.1",
        "a.0x10",
        "A.example",
        "a%2eb",
        "b\xc3\xbc"
        "cher.example",
        "\xef\xbc\x91"
        "27.0.0.1",
        "fe80::1%eth0",
        "[::1]",
        "a/b",
        "a@b",
        "a\\b",
    };
    CHECK(normalizes("api.example.com", "api.example.com"));
    CHECK(normalizes("api.example.com.", "api.example.com"));
    CHECK(normalizes("xn--bcher-kva.example", "xn--bcher-kva.example"));
    CHECK(normalizes("my_service", "my_service"));
    CHECK(normalizes("127.0.0.1", "127.0.0.1"));
    CHECK(normalizes("::1", "::1"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct str host = str_c(wrong[i]);
        if (allow_normalize(&host))
            TEST_FAIL("\"%s\" passes", wrong[i]);
    }
}

/* Address, and the widest kind of entry that does not reach it: 'n' never, 'p' private only, '+'
 * public. */
static const struct {
    const char *address;
    char kind;
} addresses[] = {
    {"93.184.216.34", '+'},
    {"172.15.255.255", '+'},
    {"172.32.0.1", '+'},
    {"100.63.255.255", '+'},
    {"100.128.0.1", '+'},
    {"169.253.255.255", '+'},
    {"192.0.1.1", '+'},
    {"198.17.255.255", '+'},
    {"223.255.255.255", '+'},
    {"127.0.0.1", 'p'},
    {"127.255.255.254", 'p'},
    {"10.1.2.3", 'p'},
    {"172.16.0.1", 'p'},
    {"172.31.255.255", 'p'},
    {"192.168.0.1", 'p'},
    {"100.64.0.1", 'p'},
    {"198.18.0.1", 'p'},
    {"0.0.0.0", 'n'},
    {"0.1.2.3", 'n'},
    {"169.254.169.254", 'n'}, /* metadata at Amazon, Google, Microsoft, … */
    {"169.254.170.2", 'n'},   /* of containers at Amazon */
    {"100.100.100.200", 'n'}, /* metadata at Alibaba */
    {"168.63.129.16", 'n'},   /* the host at Azure */
    {"192.0.0.192", 'n'},     /* metadata at Oracle */
    {"192.0.2.1", 'n'},
    {"198.51.100.7", 'n'},
    {"203.0.113.9", 'n'},
    {"192.88.99.1", 'n'},
    {"224.0.0.1", 'n'},
    {"239.255.255.250", 'n'},
    {"240.0.0.1", 'n'},
    {"255.255.255.255", 'n'},
    {"2606:4700::1111", '+'},
    {"2001:200::1", '+'},
    {"2a00:1450::1", '+'},
    {"::1", 'p'},
    {"fc00::1", 'p'},
    {"fd12:3456::1", 'p'},
    {"fec0::1", 'p'},
    {"::", 'n'},
    {"fe80::1", 'n'},
    {"febf:ffff::1", 'n'},
    {"ff02::1", 'n'},
    {"fd00:ec2::254", 'n'}, /* metadata at Amazon */
    {"fd20:ce::254", 'n'},  /* metadata at Google */
    {"100::1", 'n'},
    {"2001:db8::1", 'n'},
    {"3fff::1", 'n'},
    {"5f00::1", 'n'},
    /* IPv4 inside: mapped, compatible, translated, NAT64, 6to4, ISATAP, Teredo */
    {"::ffff:93.184.216.34", '+'},
    {"::ffff:127.0.0.1", 'p'},
    {"::ffff:10.0.0.1", 'p'},
    {"::ffff:169.254.169.254", 'n'},
    {"::ffff:100.100.100.200", 'n'},
    {"::127.0.0.1", 'p'},
    {"::169.254.169.254", 'n'},
    {"::ffff:0:127.0.0.1", 'p'},
    {"::ffff:0:169.254.169.254", 'n'},
    {"64:ff9b::93.184.216.34", '+'},
    {"64:ff9b::7f00:1", 'p'},
    {"64:ff9b::a9fe:a9fe", 'n'},
    {"64:ff9b:1::a9fe:a9fe", 'n'},
    {"2002:5db8:d822::1", '+'},
    {"2002:7f00:1::", 'p'},
    {"2002:a9fe:a9fe::1", 'n'},
    {"2a00:1450::5efe:10.0.0.1", 'p'},
    {"2a00:1450::200:5efe:169.254.169.254", 'n'},
    {"2001:0:5db8:d822::1", 'n'},
    {"2001:10::1", 'n'},
};

TEST(every_special_address_is_known_for_what_it_is)
{
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const char *a = addresses[i].address;
        bool public = reaches(ALLOW_PUBLIC, a), private = reaches(ALLOW_PRIVATE, a);
        char kind = public ? '+' : private ? 'p' : 'n';
        if (kind != addresses[i].kind || (public && !private))
            TEST_FAIL("%s is '%c', not '%c'", a, kind, addresses[i].kind);
        CHECK(!reaches(ALLOW_NO, a));
        CHECK(allow_address_text(ALLOW_PUBLIC, a) == public);
        CHECK(allow_address_text(ALLOW_PRIVATE, a) == private);
    }
}

TEST(other_families_and_text_that_is_no_address_are_never_reached)
{
    struct sockaddr local = {.sa_family = AF_UNIX};
    CHECK(!allow_address(ALLOW_PRIVATE, &local));
    CHECK(!allow_address_text(ALLOW_PRIVATE, "localhost"));
    CHECK(!allow_address_text(ALLOW_PRIVATE, ""));
    CHECK(!allow_address_text(ALLOW_PRIVATE, "fe80::1%eth0"));
    CHECK(allow_address_text(ALLOW_PRIVATE, "::1%lo"));
}
