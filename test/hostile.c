/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile.c - clients that do their worst to a daemon, while honest ones check
 * that they are served.
 *
 * The parent keeps a number of attackers alive, each a process of its own: a
 * kind (the table below), and a fate: it ends by itself, is killed, stopped or
 * traced at some step of its way. All of it is drawn from a seed. Honest
 * clients are processes too, of the library's own users. Each minute the
 * attackers are ended for a moment, the *lull*: then the daemon must have as
 * many descriptors as at the beginning, and no more memory than at the first
 * lull. */
#include "test/hostile.h"

#include <dirent.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared *shared;
uint64_t chance;
struct options opt = {.seed = 1,
                      .run_ns = 60000000000,
                      .bound_ns = 2000000000,
                      .rss_slack = 16384,
                      .shared_max = 131072,
                      .attackers = 10};

static const char *const fate_names[FATES] = {"live", "kill", "stop", "trace"};
static const char *const honest_names[HONESTS] = {
    "checker 1", "checker 2", "checker 3", "quiet", "members",
    "idle",      "connects",  "clm",       "ckpt"};

void violation(const char *format, ...)
{
    va_list args;
    if (atomic_fetch_add(&shared->violations, 1) > 0)
        return;
    va_start(args, format);
    vsnprintf(shared->violation, TEXT_SIZE, format, args);
    va_end(args);
}

/* What a run may take longer on a slow machine. */
static const uint64_t slow_ns = 60000000000;

/* --- the parent ----------------------------------------------------------- */

static uint64_t passed, failed, launched, crashed;
static char crash[TEXT_SIZE];
static unsigned deck[KINDS_MAX], deck_left;

static void check(bool good, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void check(bool good, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf(good ? "ok      " : "FAILED  ");
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
    va_end(args);
    if (good)
        passed++;
    else
        failed++;
}

/* Every kind once, then every kind once more in another order. */
static unsigned draw_kind(void)
{
    if (deck_left == 0) {
        for (unsigned i = 0; i < kind_count; i++)
            deck[i] = i;
        deck_left = kind_count;
    }
    unsigned i = below(deck_left), kind = deck[i];
    deck[i] = deck[--deck_left];
    if (opt.only != NULL)
        for (kind = 0; kind < kind_count - 1; kind++)
            if (strcmp(kinds[kind].name, opt.only) == 0)
                break;
    return kind;
}

static void launch(struct hostile_slot *s)
{
    uint64_t seed = rnd();

    s->kind = draw_kind();
    if (kinds[s->kind].who == STRANGER && !opt.can_setuid)
        return;
    /* Of each kind one at first that comes through. */
    s->fate = launched < kind_count || below(2) == 0
                  ? FATE_LIVE
                  : (enum fate)(1 + below(FATES - 1));
    s->halt = (enum step)(1 + below(STEPS - 1));
    s->end_ns = now_ns() + (100 + below(900)) * 1000000ull;
    s->seized = false;
    s->step = STEP_NONE;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        attacker_run(s, seed);
    s->pid = pid; /* here alone: the slot is shared */
    launched++;
}

static void reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct hostile_slot *s = NULL;
        for (int i = 0; i < ATTACKERS_MAX; i++)
            if (shared->slots[i].pid == pid)
                s = &shared->slots[i];
        if (s == NULL || WIFSTOPPED(status))
            continue; /* honest, or traced and alive */
        s->pid = 0;
        if ((WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) ||
            (WIFEXITED(status) && WEXITSTATUS(status) != 0)) {
            crashed++;
            snprintf(crash, sizeof crash, "%s, status %#x", kinds[s->kind].name,
                     status);
        }
    }
}

/* Looks after one attacker: seizes it at its step, ends it in time. */
static void tend(struct hostile_slot *s)
{
    if (s->pid == 0)
        return;
    if (s->fate == FATE_TRACE && !s->seized && s->step == (int)s->halt) {
        s->seized = true;
        if (ptrace(PTRACE_SEIZE, s->pid, NULL, NULL) == 0)
            ptrace(PTRACE_INTERRUPT, s->pid, NULL, NULL);
    }
    /* A while longer for those that end by themselves. */
    if (now_ns() > s->end_ns + 200000000)
        kill(s->pid, SIGKILL);
}

static void end_attackers(void)
{
    bool any = true;

    while (any) {
        any = false;
        for (int i = 0; i < ATTACKERS_MAX; i++)
            if (shared->slots[i].pid != 0) {
                kill(shared->slots[i].pid, SIGKILL);
                any = true;
            }
        reap();
        pause_us(1000);
    }
}

static bool honest_alive(void)
{
    for (int i = 0; i < HONESTS; i++)
        if (shared->honest[i].state == FAILED)
            return false;
    return true;
}

static bool daemon_alive(void)
{
    char path[64], text[256] = "";

    snprintf(path, sizeof path, "/proc/%d/stat", (int)opt.daemon);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *p = strrchr(text, ')');
    return p != NULL && p[1] != '\0' && p[2] != 'Z' && p[2] != 'X';
}

static uint64_t daemon_fds(void)
{
    char path[64];
    uint64_t n = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)opt.daemon);
    DIR *d = opendir(path);
    if (d == NULL)
        return 0;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* KiB of the daemon's memory, by the beginnings of its lines in the status. */
static uint64_t daemon_memory(const char *const lines[], size_t count)
{
    char path[64], line[128];
    uint64_t kib = 0, sum = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)opt.daemon);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        for (size_t i = 0; i < count; i++)
            if (strncmp(line, lines[i], strlen(lines[i])) == 0 &&
                sscanf(line + strlen(lines[i]), "%" SCNu64, &kib) == 1)
                sum += kib;
    if (f != NULL)
        fclose(f);
    return sum;
}

/* What is its own. What it shares with clients is bounded by itself: their
 * segments, and the memory that checkpoints are in, of which once used pages
 * are kept. */
static uint64_t daemon_rss(void)
{
    static const char *const own[] = {"RssAnon:", "RssFile:"};

    return daemon_memory(own, 2);
}

static uint64_t daemon_shared(void)
{
    static const char *const shared_lines[] = {"RssShmem:"};

    return daemon_memory(shared_lines, 1);
}

/* Waits until all honest clients are in one of two states. */
static bool await_honest(enum honest_state a, enum honest_state b, int limit_s)
{
    uint64_t end = now_ns() + (uint64_t)limit_s * 1000000000;
    int there = 0;

    while (there < HONESTS && now_ns() < end && honest_alive()) {
        there = 0;
        for (int i = 0; i < HONESTS; i++) {
            int s = shared->honest[i].state;
            there += s == (int)a || s == (int)b;
        }
        reap();
        pause_us(5000);
    }
    return there == HONESTS;
}

struct measure {
    uint64_t fds, rss, shared;
};

/* Without attackers: what the daemon has, once it is down to `fds`, or after
 * ten seconds. */
static struct measure measure(uint64_t fds)
{
    struct measure m = {.fds = daemon_fds()};

    for (int i = 0; i < 1000 && m.fds > fds; i++) {
        pause_us(10000);
        m.fds = daemon_fds();
    }
    m.rss = daemon_rss();
    m.shared = daemon_shared();
    return m;
}

static bool made(unsigned kind)
{
    switch (kinds[kind].outcome) {
    case ADMITTED:
        return shared->admitted[kind] > 0;
    case REFUSED:
        return shared->refused[kind] > 0;
    case NEITHER:
        break;
    }
    return true;
}

static bool missing(unsigned kind)
{
    return !made(kind) && (opt.can_setuid || kinds[kind].who != STRANGER);
}

static bool all_made(void)
{
    for (unsigned i = 0; i < kind_count && opt.only == NULL; i++)
        if (missing(i))
            return false;
    return true;
}

static void attack_for(uint64_t ns)
{
    uint64_t end = now_ns() + ns;

    while (now_ns() < end && honest_alive() && daemon_alive()) {
        reap();
        for (unsigned i = 0; i < opt.attackers; i++) {
            if (shared->slots[i].pid == 0)
                launch(&shared->slots[i]);
            tend(&shared->slots[i]);
        }
        pause_us(5000);
    }
}

/* A period of attack and the lull after it. */
static struct measure period(uint64_t ns, const struct measure *begin)
{
    uint64_t messages = 0;

    attack_for(ns);
    end_attackers();
    shared->rest = true;
    for (int i = 0; i < 2000 && honest_alive() &&
                    shared->honest[HONEST_CONNECTS].state != RESTING;
         i++)
        pause_us(10000);
    struct measure m = measure(begin->fds);
    shared->rest = false;
    for (int i = 0; i < CHECKERS; i++)
        messages += shared->honest[i].got;
    printf(
        "%" PRIu64 " attackers, %" PRIu64 " sent away; %" PRIu64
        " messages checked, %" PRIu64 " memberships, %" PRIu64
        " connects, %" PRIu64 " nodes, %" PRIu64
        " checkpoints; longest: message %.0f ms, membership %.0f ms, "
        "connect %.0f ms, node %.0f ms, checkpoint %.0f ms; daemon: "
        "%" PRIu64 " KiB and %" PRIu64 " KiB shared, %" PRIu64 " descriptors\n",
        launched, shared->ended, messages,
        shared->honest[HONEST_MEMBERS].rounds,
        shared->honest[HONEST_CONNECTS].rounds,
        shared->honest[HONEST_CLM].rounds, shared->honest[HONEST_CKPT].rounds,
        1e3 * seconds(shared->honest[HONEST_QUIET].max_ns),
        1e3 * seconds(shared->honest[HONEST_MEMBERS].max_ns),
        1e3 * seconds(shared->honest[HONEST_CONNECTS].max_ns),
        1e3 * seconds(shared->honest[HONEST_CLM].max_ns),
        1e3 * seconds(shared->honest[HONEST_CKPT].max_ns), m.rss, m.shared,
        m.fds);
    fflush(stdout);
    return m;
}

static void check_honest(void)
{
    bool same = true;

    for (int i = 0; i < HONESTS; i++) {
        struct honest *h = &shared->honest[i];
        check(h->state == DONE, "%s: %s", honest_names[i],
              h->state == DONE     ? "served"
              : h->state == FAILED ? h->why
                                   : "it did not finish");
        if (i < CHECKERS)
            same &= h->hash == shared->honest[0].hash &&
                    h->got == shared->honest[0].got && h->got > 0;
    }
    check(same, "%" PRIu64 " messages in one order at all checkers",
          shared->honest[0].got);
    static const int bounded[] = {HONEST_QUIET, HONEST_MEMBERS, HONEST_CONNECTS,
                                  HONEST_CLM, HONEST_CKPT};
    for (size_t i = 0; i < sizeof bounded / sizeof *bounded; i++) {
        struct honest *h = &shared->honest[bounded[i]];
        /* A door that others crowd may take longer. */
        uint64_t bound =
            bounded[i] == HONEST_CONNECTS ? 2 * opt.bound_ns : opt.bound_ns;
        check(h->max_ns > 0 && h->max_ns <= bound && h->rounds > 0,
              "%s: never over %.0f ms in %" PRIu64 " rounds, the bound is "
              "%.0f ms",
              honest_names[bounded[i]], 1e3 * seconds(h->max_ns), h->rounds,
              1e3 * seconds(bound));
    }
}

/* Each kind of attack was made, each fate met: else this run tested less. */
static void check_attacks(void)
{
    unsigned none = 0, fates = 0;

    for (unsigned i = 0; i < kind_count; i++) {
        none += missing(i);
        printf("        %-14s admitted %7" PRIu64 " refused %7" PRIu64 "%s\n",
               kinds[i].name, shared->admitted[i], shared->refused[i],
               missing(i) ? " (never made)" : "");
    }
    for (int f = FATE_KILL; f < FATES; f++) {
        printf("        %-6s at step:", fate_names[f]);
        for (int s = 1; s < STEPS; s++) {
            printf(" %" PRIu64, shared->reached[f][s]);
            fates += shared->reached[f][s] == 0;
        }
        printf("\n");
    }
    if (opt.only != NULL)
        return;
    check(none == 0, "all %u kinds of attack were made", kind_count);
    if (launched >= 1000)
        check(fates == 0,
              "attackers were killed, stopped and traced at each "
              "of %d steps",
              STEPS - 1);
}

static void start_honest(void)
{
    for (unsigned i = 0; i < HONESTS; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
            honest_run(i);
        shared->honest[i].pid = pid;
    }
}

static void run(void)
{
    uint64_t length = opt.run_ns < 120000000000 ? opt.run_ns / 2 : 60000000000;
    struct measure begin, first, last;

    start_honest();
    if (!await_honest(READY, READY, 60)) {
        check_honest();
        return;
    }
    shared->rest = shared->go = true;
    await_honest(READY, RESTING, 20);
    while (shared->honest[HONEST_CONNECTS].state != RESTING && honest_alive())
        pause_us(5000);
    begin = measure(0);
    shared->rest = false;
    printf("before: %" PRIu64 " KiB, %" PRIu64 " descriptors\n", begin.rss,
           begin.fds);
    uint64_t end = now_ns() + opt.run_ns;
    first = last = period(length, &begin);
    /* Longer where the machine is slow, until each kind had its turn. */
    while ((now_ns() < end || (!all_made() && now_ns() < end + slow_ns)) &&
           honest_alive() && daemon_alive())
        last = period(now_ns() < end ? length : length / 5, &begin);
    shared->finish = true;
    await_honest(DONE, DONE, 60);
    check(daemon_alive(), "the daemon is alive");
    check_honest();
    check_attacks();
    check(shared->violations == 0, "nobody got what is not his%s%s",
          shared->violations == 0 ? "" : ": ", shared->violation);
    check(crashed == 0, "no attacker failed by itself%s%s",
          crashed == 0 ? "" : ": ", crash);
    check(begin.fds > 0 && last.fds == begin.fds,
          "descriptors of the daemon: %" PRIu64 ", before %" PRIu64, last.fds,
          begin.fds);
    check(begin.rss > 0 && last.rss <= first.rss + opt.rss_slack,
          "memory of the daemon: %" PRIu64 " KiB, after the first period "
          "%" PRIu64 " KiB, allowed %" PRIu64 " more",
          last.rss, first.rss, opt.rss_slack);
    check(last.shared > 0 && last.shared <= opt.shared_max,
          "shared memory of the daemon: %" PRIu64 " KiB, allowed %" PRIu64,
          last.shared, opt.shared_max);
}

static void options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"pid", required_argument, NULL, 'p'},
        {"seconds", required_argument, NULL, 't'},
        {"seed", required_argument, NULL, 's'},
        {"attackers", required_argument, NULL, 'n'},
        {"bound", required_argument, NULL, 'b'},
        {"slack", required_argument, NULL, 'm'},
        {"shared", required_argument, NULL, 'h'},
        {"uid", required_argument, NULL, 'u'},
        {"gid", required_argument, NULL, 'g'},
        {"only", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'p':
            opt.daemon = (pid_t)number_arg("--pid", optarg, 2, 1 << 30);
            break;
        case 't':
            opt.run_ns =
                number_arg("--seconds", optarg, 2, 1000000) * 1000000000;
            break;
        case 's':
            opt.seed = number_arg("--seed", optarg, 0, UINT64_MAX - 1);
            break;
        case 'n':
            opt.attackers =
                (unsigned)number_arg("--attackers", optarg, 1, ATTACKERS_MAX);
            break;
        case 'b':
            opt.bound_ns = number_arg("--bound", optarg, 1, 60000) * 1000000;
            break;
        case 'm':
            opt.rss_slack = number_arg("--slack", optarg, 0, 1 << 30);
            break;
        case 'h':
            opt.shared_max = number_arg("--shared", optarg, 0, 1 << 30);
            break;
        case 'u':
            opt.uid = (uid_t)number_arg("--uid", optarg, 1, 1 << 30);
            opt.can_setuid = true;
            break;
        case 'g':
            opt.gid = (gid_t)number_arg("--gid", optarg, 1, 1 << 30);
            break;
        case 'o':
            opt.only = optarg;
            break;
        default:
            exit(2);
        }
    }
    if (opt.daemon == 0) {
        fprintf(stderr,
                "usage: hostile --pid DAEMON [--seconds N] [--seed N] "
                "[--attackers N]\n"
                "       [--bound MS] [--slack KIB] [--shared KIB] "
                "[--uid N --gid N] "
                "[--only KIND]\n"
                "Its daemon is alone in its ring and is node 1. --uid, --gid: "
                "the attackers'; needs root.\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    options(argc, argv);
    chance = opt.seed;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    for (int i = 0; i < SECRET_SIZE; i++)
        shared->secret[i] = (uint8_t)rnd();
    run();
    end_attackers();
    printf("%" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", passed,
           failed);
    return failed == 0 ? 0 : 1;
}
