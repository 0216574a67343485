#include "node.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

static void default_name(struct node *out)
{
    char host[NODE_NAME_BYTES - 20];
    if (gethostname(host, sizeof host) != 0)
        strcpy(host, "node");
    host[sizeof host - 1] = '\0';
    snprintf(out->name, sizeof out->name, "%s-%d", host, getpid());
}

static bool *role(struct node *node, const char *name)
{
    return !strcmp(name, "web")    ? &node->web
           : !strcmp(name, "jobs") ? &node->jobs
           : !strcmp(name, "cron") ? &node->cron
                                   : NULL;
}

static void list_roles(struct node *out)
{
    static const char *const names[] = {"web", "jobs", "cron"};
    int count = 0;
    for (int i = 0; i < 3; i++)
        if (*role(out, names[i]))
            out->roles[count++] = names[i];
}

bool node_read(const struct config *config, struct node *out, struct err *err)
{
    const char *const *names, *name = config_text(config, "node.name");
    int count = config_list(config, "roles", &names);
    *out = (struct node){0};
    if (strlen(name) > NODE_NAME_BYTES)
        return err_set(err, ERR_INVALID, "node.name: at most %d bytes", NODE_NAME_BYTES);
    if (*name)
        strcpy(out->name, name);
    else
        default_name(out);
    for (int i = 0; i < count; i++) {
        bool *flag = role(out, names[i]);
        if (!flag)
            return err_set(err, ERR_INVALID, "roles: there is no role \"%.40s\"; web, jobs, cron",
                           names[i]);
        *flag = true;
    }
    list_roles(out);
    return count > 0 || err_set(err, ERR_INVALID, "roles: one of web, jobs, cron at least");
}
