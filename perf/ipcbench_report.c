/* SPDX-License-Identifier: BSD-3-Clause */
/* ipcbench_report.c - figures, what each is held against, table and JSON. */
#include "perf/ipcbench.h"

#include <stdarg.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
    FIGURES_MAX = 512,
    NAME_MAX_BYTES = 64,
    SECTIONS_MAX = 16,
    SKIPS_MAX = 16
};

struct figure {
    char name[NAME_MAX_BYTES];
    double values[RUNS_MAX], median;
    unsigned count;
};

static struct figure figures[FIGURES_MAX];
static unsigned figure_count;
static const char *sections[SECTIONS_MAX], *skips[SKIPS_MAX];
static unsigned section_count, skip_count;

/* --- what is wanted ------------------------------------------------------- */

enum sense { AT_MOST, AT_LEAST };

struct rule {
    const char *figure;
    enum sense sense;
    double factor;
    const char *peer; /* times this one; NULL: the factor is the limit */
    bool goal;        /* wished for: not counted when missed */
};

static const struct rule rules[] = {
    {"query.apart_p50_us", AT_MOST, 0.05, "libqb.apart_p50_us", false},
    {"query.asleep_p50_us", AT_MOST, 1.15, "limits.futex_asleep_p50_us", false},
    {"query.any_p50_us", AT_MOST, 0.05, "libqb.any_p50_us", true},
    {"busy.default_p50_us", AT_MOST, 1.0, "busy.libqb_p50_us", false},
    {"busy.default_per_s", AT_LEAST, 1.0, "busy.libqb_per_s", false},
    {"busy.default_paced_p50_us", AT_MOST, 1.0, "busy.libqb_paced_p50_us",
     false},
    {"busy.default_cpu_us_per_call", AT_MOST, 1.2,
     "busy.spinless_cpu_us_per_call", false},
    {"busy.default_paced_cpu_us_per_call", AT_MOST, 1.2,
     "busy.spinless_paced_cpu_us_per_call", false},
    {"stream.64_per_s", AT_LEAST, 5e6, NULL, false},
    {"stream.64_per_s", AT_LEAST, 10e6, NULL, true},
    {"stream.64_per_s", AT_LEAST, 8, "libqb.stream_64_per_s", false},
    {"stream.8192_per_s", AT_LEAST, 0.5, "limits.ring_8192_per_s", false},
    {"stream.64_per_s", AT_LEAST, 0.1, "limits.ring_64_per_s", true},
    {"stream.65536_mb_per_s", AT_LEAST, 0.6, "limits.memcpy_65536_mb_per_s",
     true},
    {"events.64_to_8_delivered_per_s", AT_LEAST, 5e6, NULL, false},
    {"events.64_to_1_delivered_per_s", AT_LEAST, 5e6, NULL, true},
    {"events.64_to_1_delivered_per_s", AT_LEAST, 1, "libqb.events_64_per_s",
     true},
    {"clients.20_of_1000_p50_us", AT_MOST, 2, "clients.1_of_1_p50_us", false},
    {"clients.daemon_rss_mib", AT_MOST, 256, NULL, false},
    {"quiet.flood_64_p99_us", AT_MOST, 3, "quiet.alone_p99_us", false},
    {"quiet.flood_65536_p99_us", AT_MOST, 3, "quiet.alone_p99_us", false},
};
enum { RULES = sizeof rules / sizeof *rules };

/* --- recording ------------------------------------------------------------ */

static struct figure *find(const char *name)
{
    for (unsigned i = 0; i < figure_count; i++)
        if (strcmp(figures[i].name, name) == 0)
            return &figures[i];
    return NULL;
}

static void add(const char *name, double value)
{
    struct figure *f = find(name);
    if (f == NULL) {
        if (figure_count == FIGURES_MAX || strlen(name) >= NAME_MAX_BYTES)
            fail("%s: too many figures, or too long a name", name);
        f = &figures[figure_count++];
        memcpy(f->name, name, strlen(name) + 1);
    }
    if (f->count == opt.runs)
        fail("%s: recorded twice in a run", name);
    f->values[f->count++] = value;
}

void record(double value, const char *name, ...)
{
    char text[2 * NAME_MAX_BYTES];
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(text, sizeof text, name, arguments);
    va_end(arguments);
    add(text, value);
}

void record_calls(const struct calls *c, const char *name, ...)
{
    char text[NAME_MAX_BYTES];
    double n = (double)c->h.total;
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(text, sizeof text, name, arguments);
    va_end(arguments);
    record((double)histogram_part(&c->h, 0.5) / 1e3, "%s_p50_us", text);
    record((double)histogram_part(&c->h, 0.99) / 1e3, "%s_p99_us", text);
    if (c->gap_ns == 0)
        record(n / seconds(c->total_ns), "%s_per_s", text);
    if (c->cpu_ns == NULL)
        return;
    record((double)c->used_ns / n / 1e3, "%s_cpu_us_per_call", text);
    record((double)c->used_ns / (double)c->wall_ns * 100, "%s_cpu_percent",
           text);
}

static void note(const char *list[], unsigned *count, unsigned max,
                 const char *text)
{
    for (unsigned i = 0; i < *count; i++)
        if (strcmp(list[i], text) == 0)
            return;
    if (*count < max)
        list[(*count)++] = text;
}

void record_section(const char *name)
{
    note(sections, &section_count, SECTIONS_MAX, name);
}

void skip(const char *text)
{
    note(skips, &skip_count, SKIPS_MAX, text);
}

/* --- judging -------------------------------------------------------------- */

enum verdict { HELD, MISSED, UNKNOWN, WRONG };

struct judgement {
    enum verdict verdict;
    double peer, ratio; /* peer: 1 if there is none */
};

/* Of a section that was measured, but for what skip() may have left out? */
static bool due(const char *name)
{
    size_t n = strcspn(name, ".");
    if (strstr(name, "spinless") != NULL && opt.spinless == NULL)
        return false;
    for (unsigned i = 0; i < section_count; i++)
        if (strlen(sections[i]) == n && strncmp(sections[i], name, n) == 0)
            return strstr(name, ".libqb") == NULL || qb_available();
    return false;
}

static struct judgement judge(const struct rule *r)
{
    struct judgement j = {UNKNOWN, 1, 0};
    const struct figure *f = find(r->figure), *p = NULL;
    if (f == NULL && due(r->figure))
        j.verdict = WRONG;
    if (r->peer != NULL && (p = find(r->peer)) == NULL && due(r->peer))
        j.verdict = WRONG;
    if (f == NULL || (r->peer != NULL && p == NULL))
        return j;
    if (p != NULL)
        j.peer = p->median;
    if (!(j.peer > 0)) {
        j.verdict = WRONG;
        return j;
    }
    j.ratio = f->median / j.peer;
    bool held = r->sense == AT_MOST ? f->median <= r->factor * j.peer
                                    : f->median >= r->factor * j.peer;
    j.verdict = held ? HELD : MISSED;
    return j;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sort_all(void)
{
    for (unsigned i = 0; i < figure_count; i++) {
        struct figure *f = &figures[i];
        qsort(f->values, f->count, sizeof *f->values, by_value);
        f->median =
            f->count % 2 == 1
                ? f->values[f->count / 2]
                : (f->values[f->count / 2 - 1] + f->values[f->count / 2]) / 2;
    }
}

/* --- showing -------------------------------------------------------------- */

static const char *number(double v)
{
    static char texts[8][32];
    static unsigned next;
    char *text = texts[next++ % 8];
    int digits = v >= 1000 ? 0 : v >= 100 ? 1 : v >= 1 ? 2 : 4;
    snprintf(text, sizeof texts[0], "%.*f", digits, v);
    return text;
}

static const char *verdict_text(const struct rule *r, enum verdict v)
{
    if (v == WRONG)
        return "NOT MEASURED";
    if (r->goal)
        return v == HELD ? "goal reached" : "goal not reached";
    return v == HELD ? "held" : "MISSED";
}

static void show_rule(const struct rule *r)
{
    struct judgement j = judge(r);
    const char *sense = r->sense == AT_MOST ? "at most" : "at least";
    if (j.verdict == UNKNOWN)
        return;
    if (r->peer == NULL)
        printf("  %44s %s %s: %s\n", "", sense, number(r->factor),
               verdict_text(r, j.verdict));
    else
        printf("  %44s %s %s x %s %s: ratio %s, %s\n", "", sense,
               number(r->factor), r->peer, number(j.peer), number(j.ratio),
               verdict_text(r, j.verdict));
}

static const char legend[] =
    "apart: client and daemon each on a processor of its own; any: not pinned;"
    "\nasleep: 10 ms between calls; paced: 1 ms; cpu, daemon: processor time of"
    "\nwho answers, all its threads. events, fanout: SIZE_to_HANDLES, all in "
    "one"
    "\nprocess, deliveries of all handles together; the sender is the same"
    "\nthread, or (other_sender, not pinned) a process of its own.\n";

static void show_table(void)
{
    struct utsname system;
    uname(&system);
    printf("%ld processors, Linux %s; medians of %u runs of %.2f s (lowest .. "
           "highest)\n",
           sysconf(_SC_NPROCESSORS_ONLN), system.release, opt.runs,
           seconds(opt.run_ns));
    fputs(legend, stdout);
    for (unsigned i = 0; i < figure_count; i++) {
        const struct figure *f = &figures[i];
        printf("  %-44s %12s  (%s .. %s)\n", f->name, number(f->median),
               number(f->values[0]), number(f->values[f->count - 1]));
        for (unsigned r = 0; r < RULES; r++)
            if (strcmp(rules[r].figure, f->name) == 0)
                show_rule(&rules[r]);
    }
    for (unsigned i = 0; i < skip_count; i++)
        printf("SKIP %s\n", skips[i]);
}

static void json_checks(FILE *out, const char *name)
{
    const char *comma = "";
    for (unsigned i = 0; i < RULES; i++) {
        const struct rule *r = &rules[i];
        struct judgement j = judge(r);
        if (strcmp(r->figure, name) != 0 ||
            (j.verdict != HELD && j.verdict != MISSED))
            continue;
        fprintf(out, "%s{\"%s\": %g, ", comma,
                r->sense == AT_MOST ? "at_most" : "at_least", r->factor);
        if (r->peer != NULL)
            fprintf(out, "\"times\": \"%s\", \"peer\": %.9g, ", r->peer,
                    j.peer);
        fprintf(out, "\"ratio\": %.9g, \"goal\": %s, \"held\": %s}", j.ratio,
                r->goal ? "true" : "false",
                j.verdict == HELD ? "true" : "false");
        comma = ", ";
    }
}

static void show_json(FILE *out)
{
    struct utsname system;
    uname(&system);
    fprintf(out,
            "{\"processors\": %ld, \"kernel\": \"%s\", \"runs\": %u, "
            "\"seconds\": %.3f,\n\"skipped\": [",
            sysconf(_SC_NPROCESSORS_ONLN), system.release, opt.runs,
            seconds(opt.run_ns));
    for (unsigned i = 0; i < skip_count; i++)
        fprintf(out, "%s\"%s\"", i == 0 ? "" : ", ", skips[i]);
    fputs("],\n\"figures\": [", out);
    for (unsigned i = 0; i < figure_count; i++) {
        const struct figure *f = &figures[i];
        fprintf(out,
                "%s\n{\"name\": \"%s\", \"median\": %.9g, \"min\": %.9g, "
                "\"max\": %.9g, \"runs\": %u, \"checks\": [",
                i == 0 ? "" : ",", f->name, f->median, f->values[0],
                f->values[f->count - 1], f->count);
        json_checks(out, f->name);
        fputs("]}", out);
    }
    fputs("\n]}\n", out);
}

static void show_json_file(void)
{
    FILE *out = fopen(opt.json, "w");
    if (out == NULL) {
        fprintf(stderr, "ipcbench: %s: %s\n", opt.json, strerror(errno));
        return;
    }
    show_json(out);
    fclose(out);
}

unsigned report(void)
{
    unsigned counts[4] = {0}, bad;
    sort_all();
    for (unsigned i = 0; i < RULES; i++) {
        enum verdict v = judge(&rules[i]).verdict;
        if (v == WRONG)
            fprintf(stderr, "ipcbench: %s or %s: nobody measured it\n",
                    rules[i].figure,
                    rules[i].peer == NULL ? "-" : rules[i].peer);
        if (!rules[i].goal || v == WRONG)
            counts[v]++;
    }
    bad = counts[MISSED] + counts[WRONG];
    if (opt.json != NULL && opt.json[0] == '\0') {
        show_json(stdout);
        return bad;
    }
    show_table();
    printf("%u passed, %u failed, %u skipped\n", counts[HELD], bad,
           counts[UNKNOWN]);
    if (opt.json != NULL)
        show_json_file();
    return bad;
}
