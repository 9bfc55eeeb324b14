/* SPDX-License-Identifier: BSD-3-Clause */
/* ckptbench - how many writes to a checkpoint a second, how long one takes: one
 * thread, one section, each write waits until all replicas have it. With --read
 * the same of reads. Writes have different contents; the last of each size is
 * read back, and a wrong byte is an error. */
#include "perf/ckptbench.h"

static const char usage[] =
    "usage: ckptbench [options]\n"
    "  --size N[,N...]   bytes per write (1, 64, 100, 1001, 5001, 10001, "
    "20001,\n"
    "                    30001, 49001)\n"
    "  --seconds S       for each size (0.5)\n"
    "  --writes N        for each size, in place of a time\n"
    "  --read            reads in place of writes\n"
    "  --every S         a JSON line each S seconds\n"
    "  --json            one JSON object a line\n"
    "See ckptbenchth for several threads.\n";

int main(int argc, char **argv)
{
    static const struct option list[] = {
        {"size", 1, NULL, 'b'},   {"seconds", 1, NULL, 's'},
        {"writes", 1, NULL, 'w'}, {"read", 0, NULL, 'r'},
        {"every", 1, NULL, 'E'},  {"json", 0, NULL, 'j'},
        {"help", 0, NULL, 'h'},   {NULL, 0, NULL, 0}};

    opt.program = "ckptbench";
    options_read(argc, argv, list, usage);
    bench_run();
    return 0;
}
