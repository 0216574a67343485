/* forecaster_metadata.c -- what a model file says about itself. */
#include <string.h>

#include "base/json.h"
#include "base/json_pick.h"
#include "kernels/forecaster_private.h"

enum { DEPTH = 32, FORMAT = 1, WIDTH_MOST = 1 << 24 };

/* ORDER forecaster_kind */
static const char *const kinds[] = {"lstm", "gru", "nlinear", NULL};
static const char *const scalings[] = {"last", "standard", NULL};

const char *forecaster_kind_name(enum forecaster_kind kind)
{
    return kinds[kind];
}

/* A whole number; absent: otherwise, unless that is below `least`. */
static bool read_whole(struct str json, const char *field, int least, int most, int otherwise,
                       int *to, struct err *err)
{
    struct str value = json_pick_get(json, field);
    double number;
    if (!value.n && otherwise >= least) {
        *to = otherwise;
        return true;
    }
    if (json_pick_number(value, &number) && number >= least && number <= most) {
        *to = (int)number;
        if ((double)*to == number)
            return true;
    }
    return err_set(err, ERR_INVALID, "%s must be a whole number from %d to %d", field, least, most);
}

static bool read_word(struct str json, const char *field, const char *const *words, int *to,
                      struct err *err)
{
    struct buf text = {0}, list = {0};
    bool found = false;
    bool is_text = json_pick_text(json_pick_get(json, field), &text);
    for (int i = 0; words[i]; i++) {
        buf_printf(&list, "%s%s", i ? ", " : "", words[i]);
        if (is_text && str_eq_c(buf_str(&text), words[i])) {
            *to = i;
            found = true;
        }
    }
    if (!found)
        err_set(err, ERR_INVALID, "%s must be one of %s", field, list.p);
    buf_free(&text);
    buf_free(&list);
    return found;
}

/* Letters, digits and . _ - : it becomes part of paths and of URLs. */
static bool is_name(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return text.n > 0 && text.n <= FORECASTER_NAME_MOST;
}

static bool read_name(struct str json, const char *field, char *to, struct err *err)
{
    struct buf text = {0};
    bool ok = json_pick_text(json_pick_get(json, field), &text) && is_name(buf_str(&text));
    if (ok)
        memcpy(to, text.p, text.n + 1);
    else
        err_set(err, ERR_INVALID, "%s must be 1 to %d letters, digits, '.', '_' or '-'", field,
                FORECASTER_NAME_MOST);
    buf_free(&text);
    return ok;
}

static bool read_quantiles(struct forecaster_info *info, struct str json, struct err *err)
{
    struct json_pick pick;
    struct str item;
    double before = 0;
    info->median = -1;
    bool ok = json_pick_open(&pick, json_pick_get(json, "quantiles"), '[');
    while (ok && json_pick_item(&pick, &item)) {
        double *q = &info->quantile[info->quantiles];
        ok = info->quantiles < FORECASTER_QUANTILES_MOST && json_pick_number(item, q) &&
             *q > before && *q < 1;
        if (!ok)
            break;
        if (*q == 0.5)
            info->median = info->quantiles;
        before = *q;
        info->quantiles++;
    }
    if (ok && info->median >= 0)
        return true;
    return err_set(err, ERR_INVALID,
                   "quantiles must be up to %d rising numbers between 0 and 1 with 0.5 among them",
                   FORECASTER_QUANTILES_MOST);
}

static bool read_flag(struct str json, const char *field, bool *to, struct err *err)
{
    struct str value = json_pick_get(json, field);
    *to = str_eq_c(value, "true");
    return *to || !value.n || str_eq_c(value, "false") ||
           err_set(err, ERR_INVALID, "%s must be true or false", field);
}

static bool read_shape(struct forecaster_info *info, struct str json, struct err *err)
{
    struct recurrent_shape *s = &info->shape;
    s->cell = info->kind == FORECASTER_GRU ? RECURRENT_GRU : RECURRENT_LSTM;
    if (!read_whole(json, "hidden", 1, FORECASTER_HIDDEN_MOST, -1, &s->hidden, err) ||
        !read_whole(json, "layers", 1, FORECASTER_LAYERS_MOST, 1, &s->layers, err) ||
        !read_whole(json, "projection", 0, FORECASTER_HIDDEN_MOST, 0, &s->projection, err) ||
        !read_flag(json, "bidirectional", &s->bidirectional, err))
        return false;
    if (s->projection && (s->cell == RECURRENT_GRU || s->projection >= s->hidden))
        return err_set(err, ERR_INVALID,
                       "projection must be 0, or less than hidden in a model of kind lstm");
    if ((long)info->lookback * recurrent_outputs(s) > WIDTH_MOST)
        return err_set(err, ERR_LIMIT, "lookback: times the net's %d outputs it may be at most %d",
                       recurrent_outputs(s), WIDTH_MOST);
    return true;
}

static bool read_fields(struct forecaster_info *info, struct str json, struct err *err)
{
    int format, kind, scaling;
    if (!read_whole(json, "format", FORMAT, FORMAT, -1, &format, err) ||
        !read_word(json, "kind", kinds, &kind, err) || !read_name(json, "name", info->name, err) ||
        !read_name(json, "version", info->version, err) ||
        !read_whole(json, "lookback", 1, FORECASTER_LOOKBACK_MOST, -1, &info->lookback, err) ||
        !read_whole(json, "min_points", 1, info->lookback, -1, &info->min_points, err) ||
        !read_whole(json, "horizon", 1, FORECASTER_HORIZON_MOST, -1, &info->horizon, err) ||
        !read_quantiles(info, json, err) || !read_word(json, "scaling", scalings, &scaling, err) ||
        !read_whole(json, "inputs", 1, 1, 1, &info->shape.inputs, err) ||
        !read_whole(json, "period", 1, FORECASTER_LOOKBACK_MOST, 1, &info->period, err))
        return false;
    if (!json_pick_get(json, "period").n)
        info->period = 0;
    info->kind = (enum forecaster_kind)kind;
    info->scaling = (enum forecaster_scaling)scaling;
    return kind == FORECASTER_NLINEAR || read_shape(info, json, err);
}

bool forecaster_read_metadata(struct forecaster_info *info, struct str json, struct err *err)
{
    static const struct json_events nothing;
    if (!json_read(json, DEPTH, &nothing, NULL, err) || !read_fields(info, json, err))
        return err_wrap(err, "__metadata__.maru");
    info->metadata = json;
    return true;
}
