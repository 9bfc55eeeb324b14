/* SPDX-License-Identifier: BSD-3-Clause */
/* ckptbenchth - ckptbench with threads: writers, readers, or both at once, each
 * with a handle and a section of its own. And, for tests of replication: a load
 * whose every write is read back, checkpoints filled, and a hash over all that
 * is in one. */
#include "perf/ckptbench.h"

static const char usage[] =
    "usage: ckptbenchth [options]\n"
    "  --threads N       writers, or with --read readers (4)\n"
    "  --size N[,N...]   bytes per write (1, 64, 100, 1001, 5001, 10001, "
    "20001,\n"
    "                    30001, 49001)\n"
    "  --seconds S       for each size (0.5); 0: until SIGINT or SIGTERM\n"
    "  --writes N        of each thread, in place of a time\n"
    "  --read            reads in place of writes\n"
    "  --mixed           as many readers beside the writers, of their "
    "sections\n"
    "  --read-size N     bytes per read, at most\n"
    "  --shared          one handle for all threads\n"
    "  --rate N          writes a second of each thread, at most\n"
    "  --verify N        writes go to N places of the section in turn, and "
    "are\n"
    "                    read back after each N\n"
    "  --sections N      of each thread, written to in turn (1)\n"
    "  --every S         a JSON line each S seconds\n"
    "  --json            one JSON object a line\n"
    "Writes replace the section, but with --verify or --name, where they "
    "change a\n"
    "part of it. What is written is read back at the end.\n"
    "\n"
    "  --name NAME       of the checkpoint; it and its content stay\n"
    "  --retention S     so long after the last close (for ever)\n"
    "  --id TEXT         with which ids of sections begin (section)\n"
    "  --fill BYTES      fill --sections sections of --name, and end\n"
    "  --hash NAME       a hash over its sections' ids and contents, and end\n"
    "  --status NAME     how much is in it, and end\n"
    "  --remove NAME     unlink it, and end\n"
    "  --wait S          so long, until daemon and checkpoint are there\n";

int main(int argc, char **argv)
{
    static const struct option list[] = {
        {"threads", 1, NULL, 't'},   {"size", 1, NULL, 'b'},
        {"seconds", 1, NULL, 's'},   {"writes", 1, NULL, 'w'},
        {"read", 0, NULL, 'r'},      {"mixed", 0, NULL, 'm'},
        {"read-size", 1, NULL, 'z'}, {"shared", 0, NULL, 'x'},
        {"rate", 1, NULL, 'a'},      {"verify", 1, NULL, 'v'},
        {"sections", 1, NULL, 'c'},  {"every", 1, NULL, 'E'},
        {"json", 0, NULL, 'j'},      {"name", 1, NULL, 'n'},
        {"retention", 1, NULL, 'e'}, {"id", 1, NULL, 'i'},
        {"fill", 1, NULL, 'F'},      {"hash", 1, NULL, 'H'},
        {"status", 1, NULL, 'S'},    {"remove", 1, NULL, 'R'},
        {"wait", 1, NULL, 'W'},      {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    static void (*const tasks[])(void) = {[RUN] = bench_run,
                                          [FILL] = task_fill,
                                          [HASH] = task_hash,
                                          [STATUS] = task_status,
                                          [REMOVE] = task_remove};

    opt.program = "ckptbenchth";
    opt.threads = 4;
    options_read(argc, argv, list, usage);
    tasks[opt.task]();
    return 0;
}
