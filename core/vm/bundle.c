#include "vm/bundle.h"

#include <stdio.h>

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/sys.h"

enum { BUNDLE_DEPTH = 8 };

struct reading {
    struct bundle *bundle;
    const char *root;
    size_t bytes;
    int room;
};

static bool read_folder(struct reading *r, const char *inside, int depth, struct err *err);

static bool is_left_out(const char *name, int depth)
{
    return name[0] == '.' || (depth == 0 && strcmp(name, "spec") == 0) ||
           strcmp(name, "node_modules") == 0;
}

/* An editor writes beside a file and renames over it: what was listed may have another name by now.
 * The watch tells of that too, and the folder is read again. */
static bool is_gone(struct err *err)
{
    if (err->code != ERR_NOT_FOUND)
        return false;
    *err = (struct err){0};
    return true;
}

static bool add_file(struct reading *r, const char *path, const char *inside, struct err *err)
{
    struct bundle *b = r->bundle;
    if (b->count == BUNDLE_FILES)
        return err_set(err, ERR_LIMIT, "%s: more than %d files", b->dir, BUNDLE_FILES);
    struct buf bytes = {0};
    if (!file_read(path, BUNDLE_BYTES - r->bytes, &bytes, err)) {
        buf_free(&bytes);
        return is_gone(err) || err_wrap(err, "%s", b->dir);
    }
    r->bytes += bytes.n;
    if (b->count == r->room) {
        r->room = r->room ? r->room * 2 : 16;
        b->files = mem_realloc(b->files, (size_t)r->room * sizeof *b->files);
    }
    struct bundle_file *file = &b->files[b->count++];
    file->name = mem_strdup(inside);
    buf_reserve(&bytes, 1);
    file->bytes = buf_take(&bytes, &file->n);
    file->bytes = mem_realloc(file->bytes, file->n + 1); /* it was read into room for much more */
    return true;
}

/* Symbolic links to files are followed, to folders not: no cycle, no way out. */
static bool add_entry(struct reading *r, const char *inside, int depth, struct err *err)
{
    char *path = mem_printf("%s/%s", r->root, inside);
    struct stat st, link;
    bool ok = true;
    if (stat(path, &st) != 0 || lstat(path, &link) != 0)
        ok = errno == ENOENT || err_sys(err, errno, "%s", path);
    else if (S_ISDIR(st.st_mode) && !S_ISLNK(link.st_mode))
        ok = read_folder(r, inside, depth + 1, err);
    else if (S_ISREG(st.st_mode))
        ok = add_file(r, path, inside, err);
    mem_free(path);
    return ok;
}

static bool read_folder(struct reading *r, const char *inside, int depth, struct err *err)
{
    if (depth > BUNDLE_DEPTH)
        return err_set(err, ERR_LIMIT, "%s: folders nested deeper than %d", r->bundle->dir,
                       BUNDLE_DEPTH);
    char *path = mem_printf("%s%s%s", r->root, inside[0] ? "/" : "", inside);
    DIR *dir = opendir(path);
    bool ok = dir || err_sys(err, errno, "%s", path);
    mem_free(path);
    for (struct dirent *entry; ok && (entry = readdir(dir));) {
        if (is_left_out(entry->d_name, depth))
            continue;
        char *name = mem_printf("%s%s%s", inside, inside[0] ? "/" : "", entry->d_name);
        ok = add_entry(r, name, depth, err);
        mem_free(name);
    }
    if (dir)
        closedir(dir);
    return ok;
}

static int by_name(const void *a, const void *b)
{
    const struct bundle_file *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void hash_part(crypto_generichash_state *state, const char *p, size_t n)
{
    uint64_t length = n;
    crypto_generichash_update(state, (const unsigned char *)&length, sizeof length);
    crypto_generichash_update(state, (const unsigned char *)p, n);
}

static void hash_files(struct bundle *b)
{
    crypto_generichash_state state;
    unsigned char hash[BUNDLE_HASH / 2];
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    for (int i = 0; i < b->count; i++) {
        hash_part(&state, b->files[i].name, strlen(b->files[i].name));
        hash_part(&state, b->files[i].bytes, b->files[i].n);
    }
    crypto_generichash_final(&state, hash, sizeof hash);
    sodium_bin2hex(b->hash, sizeof b->hash, hash, sizeof hash);
}

/* "/opt/maru/plugins/guestbook/" -> dir "plugins/guestbook", name "guestbook". */
static bool set_names(struct bundle *b, const char *dir, struct err *err)
{
    struct str path = str_c(dir);
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    size_t name = path.n, shown;
    while (name > 0 && path.p[name - 1] != '/')
        name--;
    shown = name > 0 ? name - 1 : 0;
    while (shown > 0 && path.p[shown - 1] != '/')
        shown--;
    size_t n = path.n - name;
    b->dir = str_dup(str_n(path.p + shown, path.n - shown));
    if (n == 0 || n >= sizeof b->name)
        return err_set(err, ERR_INVALID, "%s: a plugin's folder name has 1 to %zu letters", dir,
                       sizeof b->name - 1);
    memcpy(b->name, path.p + name, n);
    return true;
}

struct bundle *bundle_read(const char *dir, struct err *err)
{
    if (sodium_init() < 0) {
        err_set(err, ERR_IO, "libsodium does not start");
        return NULL;
    }
    struct bundle *b = mem_zero(1, sizeof *b);
    struct reading r = {.bundle = b, .root = dir};
    bool ok = set_names(b, dir, err) && read_folder(&r, "", 0, err);
    if (ok && b->count > 0)
        qsort(b->files, (size_t)b->count, sizeof *b->files, by_name);
    if (ok && !bundle_find(b, STR("plugin.lua")))
        ok = err_set(err, ERR_NOT_FOUND, "%s: no plugin.lua", b->dir);
    if (!ok) {
        bundle_free(b);
        return NULL;
    }
    hash_files(b);
    return b;
}

void bundle_free(struct bundle *bundle)
{
    if (!bundle)
        return;
    for (int i = 0; i < bundle->count; i++) {
        mem_free(bundle->files[i].name);
        mem_free(bundle->files[i].bytes);
    }
    mem_free(bundle->files);
    mem_free(bundle->dir);
    mem_free(bundle);
}

const struct bundle_file *bundle_find(const struct bundle *bundle, struct str name)
{
    int low = 0, high = bundle->count - 1;
    while (low <= high) {
        int middle = low + (high - low) / 2;
        int order = str_cmp(name, str_c(bundle->files[middle].name));
        if (order == 0)
            return &bundle->files[middle];
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The line that has the text; 0 = none. */
static int line_with(const struct bundle_file *file, struct str text)
{
    int line = 1;
    for (size_t i = 0; text.n && i + text.n <= file->n; i++) {
        if (!memcmp(file->bytes + i, text.p, text.n))
            return line;
        line += file->bytes[i] == '\n';
    }
    return 0;
}

static bool is_lua(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && !strcmp(name + n - 4, ".lua") && strncmp(name, "public/", 7);
}

void bundle_place(const struct bundle *bundle, const char *text, char *out, size_t size)
{
    const struct bundle_file *found = bundle_find(bundle, STR("plugin.lua"));
    int line = found ? line_with(found, str_c(text)) : 0;
    for (int i = 0; i < bundle->count && !line; i++) {
        if (!is_lua(bundle->files[i].name))
            continue;
        line = line_with(&bundle->files[i], str_c(text));
        found = line ? &bundle->files[i] : found;
    }
    if (line)
        snprintf(out, size, "%s/%s:%d", bundle->dir, found->name, line);
    else
        snprintf(out, size, "%s/plugin.lua", bundle->dir);
}
