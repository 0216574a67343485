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
    CHECK(reach("api.example.com:*", "api.example.com", 8443) == ALLOW_PUBLIC);
}

TEST(a_star_takes_names_below_the_host_only)
{
    CHECK(reach("*.example.com:443", "a.b.example.com", 443) == ALLOW_PUBLIC);
    CHECK(reach("*.example.com:443", "example.com", 443) == ALLOW_NO);
    CHECK(reach("*.example.com:443", "notexample.com", 443) == ALLOW_NO);
}

TEST(an_entry_without_a_port_matches_nothing)
{
    CHECK(reach("example.com", "example.com", 443) == ALLOW_NO);
    CHECK(reach("", "example.com", 443) == ALLOW_NO);
}

TEST(only_an_address_or_localhost_opens_private_addresses)
{
    CHECK(reach("127.0.0.1:8080", "127.0.0.1", 8080) == ALLOW_PRIVATE);
    CHECK(reach("[::1]:8080", "::1", 8080) == ALLOW_PRIVATE);
    CHECK(reach("localhost:8080", "localhost", 8080) == ALLOW_PRIVATE);
    CHECK(reaches(ALLOW_PRIVATE, "127.0.0.1"));
    CHECK(!reaches(ALLOW_PUBLIC, "127.0.0.1"));
    CHECK(!reaches(ALLOW_PUBLIC, "10.1.2.3"));
    CHECK(!reaches(ALLOW_PUBLIC, "192.168.0.1"));
    CHECK(!reaches(ALLOW_PUBLIC, "172.31.255.255"));
    CHECK(reaches(ALLOW_PUBLIC, "172.32.0.1"));
    CHECK(reaches(ALLOW_PUBLIC, "93.184.216.34"));
}

TEST(link_local_and_metadata_addresses_are_never_reached)
{
    CHECK(!reaches(ALLOW_PRIVATE, "169.254.169.254"));
    CHECK(!reaches(ALLOW_PRIVATE, "0.0.0.0"));
    CHECK(!reaches(ALLOW_PRIVATE, "224.0.0.1"));
    CHECK(!reaches(ALLOW_PRIVATE, "fe80::1"));
    CHECK(!reaches(ALLOW_PRIVATE, "::"));
}

TEST(an_ipv4_address_inside_ipv6_is_judged_as_itself)
{
    CHECK(!reaches(ALLOW_PRIVATE, "::ffff:169.254.169.254"));
    CHECK(!reaches(ALLOW_PUBLIC, "::ffff:127.0.0.1"));
    CHECK(!reaches(ALLOW_PUBLIC, "64:ff9b::7f00:1"));
    CHECK(!reaches(ALLOW_PUBLIC, "2002:7f00:1::"));
    CHECK(!reaches(ALLOW_PUBLIC, "fd00::1"));
    CHECK(!reaches(ALLOW_PUBLIC, "::1"));
    CHECK(reaches(ALLOW_PUBLIC, "2606:4700::1111"));
}
