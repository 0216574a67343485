/* What plugins may reach: lists, their differences, and what counts as more. */
#include "vm/capability.h"

#include "base/mem.h"
#include "test.h"

static struct capability_list read_list(const char *lines)
{
    struct capability_list list;
    capability_read(str_c(lines), &list);
    return list;
}

static bool widens(const char *accepted, const char *now, const char *said)
{
    struct capability_list a = read_list(accepted), n = read_list(now);
    struct buf out = {0};
    bool more = capability_widens(&a, &n, &out);
    bool ok = more == (*said != '\0') && str_eq_c(buf_str(&out), said);
    if (!ok)
        printf("# said \"%s\"\n", out.p ? out.p : "");
    capability_list_free(&a);
    capability_list_free(&n);
    buf_free(&out);
    return ok;
}

/* A declaration, out of order and with one entry twice. */
static char net[][24] = {"b.example.com:443", "127.0.0.1:8080", "b.example.com:443"};
static char from[][16] = {"", "config:base", ""};
static char env[] = "KEY", greet[] = "base.greet";

TEST(a_declaration_becomes_sorted_lines_with_its_references_last)
{
    struct plugin_decl decl = {0};
    char *nets[] = {net[0], net[1], net[2]}, *froms[] = {from[0], from[1], from[2]};
    char *envs[] = {env}, *calls[] = {greet};
    decl.allow[CAPABILITY_NET] = (struct allow_decl){nets, froms, 3};
    decl.allow[CAPABILITY_ENV] = (struct allow_decl){envs, NULL, 1};
    decl.allow[CAPABILITY_CALL] = (struct allow_decl){calls, NULL, 1};
    struct capability_list list;
    struct buf out = {0};
    capability_list(&decl, &list);
    CHECK_EQ(list.count, 4);
    CHECK_STR(list.items[0].text, "call base.greet");
    CHECK_STR(list.items[2].text, "net 127.0.0.1:8080");
    CHECK_STR(list.items[2].reference, "net config:base");
    capability_print(&list, &out);
    CHECK_STR(out.p, "call base.greet\nenv KEY\nnet 127.0.0.1:8080\nnet b.example.com:443\n"
                     "net config:base\n");
    capability_list_free(&list);
    buf_free(&out);
}

TEST(what_was_kept_reads_back_and_nonsense_is_passed_over)
{
    struct capability_list list =
        read_list("net a:1\n\nnonsense\nfly away\nnet\nnet a:1\nfs /a b\n");
    CHECK_EQ(list.count, 2);
    CHECK_STR(list.items[0].text, "fs /a b");
    CHECK_STR(list.items[1].text, "net a:1");
    capability_list_free(&list);
}

TEST(a_difference_names_what_came_and_what_went)
{
    struct capability_list before = read_list("env A\nnet a:1\nnet b:1\n");
    struct capability_list after = read_list("env B\nnet b:1\nnet c:1\n");
    struct capability_diff diff;
    capability_compare(&before, &after, &diff);
    REQUIRE(diff.added_count == 2 && diff.removed_count == 2);
    CHECK_STR(diff.added[0], "env B");
    CHECK_STR(diff.added[1], "net c:1");
    CHECK_STR(diff.removed[0], "env A");
    CHECK_STR(diff.removed[1], "net a:1");
    capability_diff_free(&diff);
    capability_compare(&before, &before, &diff);
    CHECK_EQ(diff.added_count + diff.removed_count, 0);
    capability_list_free(&before);
    capability_list_free(&after);
}

TEST(more_is_named_and_less_is_free)
{
    CHECK(widens("net a:1\nnet b:1\n", "net a:1\n", ""));
    CHECK(widens("net a:1\n", "net a:1\nnet b:1\nenv K\n", "env K, net b:1"));
    CHECK(widens("", "exec /bin/sh\n", "exec /bin/sh"));
    CHECK(widens("env A\n", "exec A\n", "exec A"));
    CHECK(widens("net a:1\n", "net a:2\n", "net a:2"));
}

TEST(a_wide_entry_covers_narrow_ones_and_never_the_other_way_round)
{
    CHECK(widens("net *.a.com:443\n", "net x.a.com:443\n", ""));
    CHECK(widens("net *.a.com:443\n", "net *.x.a.com:443\n", ""));
    CHECK(widens("net *.a.com:443\n", "net a.com:443\n", "net a.com:443"));
    CHECK(widens("net *.a.com:443\n", "net ba.com:443\n", "net ba.com:443"));
    CHECK(widens("net *.a.com:443\n", "net x.a.com:80\n", "net x.a.com:80"));
    CHECK(widens("net *.a.com:443\n", "net private:x.a.com:443\n", "net private:x.a.com:443"));
    CHECK(widens("net x.a.com:443\n", "net *.a.com:443\n", "net *.a.com:443"));
    CHECK(widens("net private:db:1\n", "net db:1\n", ""));
    CHECK(widens("net db:1\n", "net private:db:1\n", "net private:db:1"));
    CHECK(widens("net private:*.a:1\n", "net private:x.a:1\n", ""));
    CHECK(widens("fs /srv/\n", "fs /srv/a\nfs /srv/b/\n", ""));
    CHECK(widens("fs /srv/\n", "fs /srv/../etc/passwd\n", "fs /srv/../etc/passwd"));
    CHECK(widens("fs /srv/a\n", "fs /srv/ab\n", "fs /srv/ab"));
    CHECK(widens("fs /srv\n", "fs /srv/a\n", "fs /srv/a"));
    CHECK(widens("call base.*\n", "call base.f\n", ""));
    CHECK(widens("call base.f\n", "call base.*\n", "call base.*"));
    CHECK(widens("call base.*\n", "call based.f\n", "call based.f"));
}

/* One net entry that came from the config value "base". */
static struct capability_list from_config(const char *entry, const char *source)
{
    struct capability_list list = {0};
    capability_add(&list, CAPABILITY_NET, str_c(entry), source);
    capability_sort(&list);
    return list;
}

TEST(an_address_of_two_settings_is_said_once)
{
    struct capability_list both = {0}, none = {0};
    struct buf out = {0};
    capability_add(&both, CAPABILITY_NET, STR("127.0.0.1:8080"), "config:web_base");
    capability_add(&both, CAPABILITY_NET, STR("127.0.0.1:8080"), "config:open_base");
    capability_add(&both, CAPABILITY_NET, STR("127.0.0.1:9090"), "config:open_base");
    capability_sort(&both);
    CHECK(capability_widens(&none, &both, &out));
    CHECK(str_eq_c(buf_str(&out), "net 127.0.0.1:8080, net 127.0.0.1:9090"));
    capability_list_free(&both);
    buf_free(&out);
}

TEST(what_the_operator_configures_is_accepted_with_the_reference)
{
    struct capability_list first = from_config("api.example.com:443", "default:base");
    struct capability_list moved = from_config("127.0.0.1:4000", "config:base");
    struct capability_list other = from_config("evil.example.com:443", "default:base");
    struct capability_list also = from_config("127.0.0.1:4000", "config:elsewhere");
    struct capability_list within = from_config("private:127.0.0.1:4000", "config:base");
    struct buf kept = {0}, out = {0};
    capability_print(&first, &kept);
    struct capability_list accepted = read_list(kept.p);
    CHECK(!capability_widens(&first, &moved, &out));
    CHECK(!capability_widens(&accepted, &moved, &out));
    CHECK(capability_widens(&accepted, &other, &out)); /* the plugin's own new default */
    CHECK(capability_widens(&accepted, &also, &out));  /* another value of the operator's */
    CHECK(capability_widens(&accepted, &within, &out));
    struct capability_list *lists[] = {&first, &moved, &other, &also, &within, &accepted};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        capability_list_free(lists[i]);
    buf_free(&kept);
    buf_free(&out);
}
