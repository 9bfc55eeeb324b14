/* SPDX-License-Identifier: BSD-3-Clause */
/* aisexec - reads the config and the key, makes the parts, takes the privileges
 * it can get, runs the protocol thread. Wiring only. */
#include "config/config.h"
#include "daemon/base/limit.h"
#include "daemon/base/log.h"
#include "daemon/base/memory_limit.h"
#include "daemon/base/random.h"
#include "daemon/server/protocol.h"
#include "daemon/server/renew.h"
#include "daemon/server/wakeup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

struct options {
    const char *config_path, *run_dir;
    bool foreground, test;
};

struct daemon {
    struct options options;
    struct config config;
    struct protocol_parts parts;
    uint64_t ring_seq, incarnation;
    char error[CONFIG_ERROR_SIZE];
};

static void usage(FILE *to)
{
    fputs("usage: aisexec [-f] [-t] [-c FILE] [-r DIR] [-V] [-h]\n"
          "  -f, --foreground   stay in the foreground\n"
          "  -t, --test         check the config file and exit\n"
          "  -c, --config FILE  default $OPENAIS_CONFIG, else "
          "/etc/ais/openais.conf\n"
          "  -r, --rundir DIR   default $OPENAIS_RUNDIR, else /run/openais\n"
          "  -V, --version      print the version and exit\n"
          "  -h, --help         this text\n"
          "Signals: SIGTERM, SIGINT leave the cluster; SIGUSR1 logs "
          "statistics.\n",
          to);
}

static void options_parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"foreground", no_argument, NULL, 'f'},
        {"test", no_argument, NULL, 't'},
        {"config", required_argument, NULL, 'c'},
        {"rundir", required_argument, NULL, 'r'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    const char *env = getenv("OPENAIS_RUNDIR");
    o->config_path = config_default_path();
    o->run_dir = env != NULL && *env != '\0' ? env : "/run/openais";
    int c;
    while ((c = getopt_long(argc, argv, "ftc:r:Vh", longs, NULL)) != -1) {
        switch (c) {
        case 'f':
            o->foreground = true;
            break;
        case 't':
            o->test = true;
            break;
        case 'c':
            o->config_path = optarg;
            break;
        case 'r':
            o->run_dir = optarg;
            break;
        case 'V':
            puts("aisexec " OPENAIS_VERSION);
            exit(0);
        case 'h':
            usage(stdout);
            exit(0);
        default:
            usage(stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        usage(stderr);
        exit(2);
    }
}

/* --- going to the background ---------------------------------------------- */

/* A file in its place would take all that is meant for nobody. */
static bool null_device_is_there(void)
{
    struct stat st = {0};
    int error = stat("/dev/null", &st) != 0                           ? errno
                : !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3) ? ENODEV
                : access("/dev/null", R_OK | W_OK) != 0               ? errno
                                                                      : 0;
    if (error == 0)
        return true;
    fprintf(stderr,
            "aisexec: /dev/null is not there to be used as the null device: "
            "%s; make it again (mknod -m 666 /dev/null c 1 3)\n",
            strerror(error));
    return false;
}

/* What the caller left open is not this process's to keep, and its umask not to
 * decide who can reach the socket. Without standard streams, the first files
 * opened would be taken for them. */
static void inherited_drop(bool foreground)
{
    int fd;
    umask(022);
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    if (!foreground)
        close_range(STDERR_FILENO + 1, ~0u, 0);
}

/* The parent waits for the child's word that the start succeeded, so that
 * `aisexec && next` means what it says. Gives the descriptor for that word. */
static int background(void)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid > 0) {
        char word;
        close(fds[1]);
        ssize_t n = read(fds[0], &word, 1);
        _exit(n == 1 ? 0 : 1);
    }
    close(fds[0]);
    setsid();
    return fds[1];
}

/* A relative run directory keeps the place where it is. */
static void started(const struct daemon *d, int fd)
{
    if (fd < 0)
        return;
    if (d->options.run_dir[0] == '/' && chdir("/") != 0)
        log_write(LOG_LEVEL_DEBUG, "MAIN", "chdir: %s", strerror(errno));
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        if (!d->config.logging.to_stderr)
            dup2(null, STDERR_FILENO);
        close(null);
    }
    if (write(fd, "+", 1) != 1)
        log_write(LOG_LEVEL_DEBUG, "MAIN", "nobody waited for the start");
    close(fd);
}

/* --- privileges ----------------------------------------------------------- */

static void schedule(const struct config_runtime *c)
{
    int policy = c->policy == CONFIG_POLICY_FIFO ? SCHED_FIFO : SCHED_RR;
    if (c->policy == CONFIG_POLICY_OTHER)
        return;
    int highest = sched_get_priority_max(policy);
    struct sched_param param = {
        .sched_priority = c->priority != 0 ? (int)c->priority : highest};
    if (sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &param) == 0)
        return;
    int error = errno;
    struct limit_process self = limit_process_get();
    const char *way = limit_way_to(&self, LIMIT_REAL_TIME);
    char remedy[160];
    if (way == NULL)
        snprintf(remedy, sizeof remedy,
                 "its control group has no real-time time: start it in another "
                 "one, or raise cpu.rt_runtime_us of this one");
    else
        snprintf(remedy, sizeof remedy,
                 "%s, or set RLIMIT_RTPRIO to %d (ulimit -r, LimitRTPRIO)", way,
                 param.sched_priority);
    log_write(LOG_LEVEL_WARNING, "MAIN",
              "not able to get real-time priority %d: %s; latency may suffer "
              "under load (%s, or set runtime { policy = other })",
              param.sched_priority, strerror(error), remedy);
}

/* With all future pages locked, what is mapped counts against the limit even if
 * it is never touched: a limit that is enough now would refuse clients later.
 * A mapping as large as the limit fails if the limit binds this process. */
static bool lock_limit_binds(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 ||
        limit.rlim_cur == RLIM_INFINITY)
        return false;
    void *at = mmap(NULL, limit.rlim_cur + 1, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return true;
    munmap(at, limit.rlim_cur + 1);
    return false;
}

/* Pages are locked as they are touched: what is never used stays unallocated,
 * so that memory is bounded by use and not by limits. */
static void lock_pages(const struct config_runtime *c)
{
    if (!c->lock_memory)
        return;
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0) {
        if (!lock_limit_binds())
            return;
        errno = ENOMEM;
    }
    int error = errno;
    struct limit_process self = limit_process_get();
    const char *way = limit_way_to(&self, LIMIT_LOCK);
    log_write(LOG_LEVEL_WARNING, "MAIN",
              "not able to lock pages: %s; harmless unless the host swaps "
              "(%s%s, or set runtime { lock_memory = off })",
              strerror(error), way != NULL ? way : "free some memory",
              way != NULL ? ", or set RLIMIT_MEMLOCK to unlimited (ulimit -l, "
                            "LimitMEMLOCK)"
                          : "");
    munlockall();
}

/* --- the parts ------------------------------------------------------------ */

/* Who starts the daemon sees why it does not start, wherever the log goes. */
static int fail(const struct daemon *d, int rc)
{
    log_write(LOG_LEVEL_ERROR, "MAIN", "%s", d->error);
    if (!d->config.logging.to_stderr)
        fprintf(stderr, "aisexec: %s\n", d->error);
    return rc;
}

/* The same for what a line of the config file names: which one. */
static int fail_at(struct daemon *d, unsigned line, int rc)
{
    char text[sizeof d->error];
    memcpy(text, d->error, sizeof text);
    snprintf(d->error, sizeof d->error, "%s:%u: %.800s", d->options.config_path,
             line, text);
    return fail(d, rc);
}

static int log_make(struct daemon *d)
{
    const struct config_logging *l = &d->config.logging;
    struct log_config c = {.to_stderr = l->to_stderr,
                           .to_syslog = l->to_syslog,
                           .file = l->to_file ? l->logfile : NULL,
                           .debug = l->debug,
                           .timestamp = l->timestamp};
    int rc = log_open(&c);
    if (rc != 0) {
        snprintf(d->error, sizeof d->error, "cannot open the log file %s: %s",
                 l->logfile, strerror(-rc));
        return fail(d, rc);
    }
    return log_start();
}

static int net_make(struct daemon *d)
{
    struct config_totem *t = &d->config.totem;
    struct net_config c = {.multicast = t->transport == CONFIG_MULTICAST,
                           .bind_net = t->bindnetaddr,
                           .mcast_addr = t->mcastaddr,
                           .port = t->mcastport,
                           .mtu = t->netmtu,
                           .node_count = t->node_count,
                           .nodes = t->nodes,
                           .node_id = t->nodeid,
                           .receive_buffer_bytes = t->receive_buffer_bytes,
                           .send_buffer_bytes = t->send_buffer_bytes,
                           .downcheck_ns = d->config.timeout.downcheck_ns};
    int rc = net_open(&d->parts.net, &c, d->error, sizeof d->error);
    if (rc == -EADDRINUSE)
        return fail_at(d, t->mcastport_line, rc);
    if (rc == -EDESTADDRREQ)
        return fail_at(d, t->nodes_line, rc);
    if (rc != 0)
        return fail_at(d, t->bindnetaddr_line, rc);
    if (t->nodeid == 0)
        t->nodeid = net_local_address(d->parts.net).s_addr;
    return 0;
}

/* A core dump would hold the key: in the sessions, in OpenSSL's memory. Without
 * it, processes of the same user cannot look into this one either. */
static void hide_key(const struct config_runtime *c)
{
    if (c->core_dumps)
        log_write(
            LOG_LEVEL_WARNING, "MAIN",
            "core dumps of this process hold the cluster's key (runtime { "
            "core_dumps = on })");
    else if (prctl(PR_SET_DUMPABLE, 0) != 0)
        log_write(LOG_LEVEL_WARNING, "MAIN",
                  "a core dump of this process would hold the cluster's key: "
                  "%s",
                  strerror(errno));
}

static int seal_make(struct daemon *d)
{
    uint8_t key[CONFIG_KEY_SIZE];
    struct sockaddr_in own = net_own_address(d->parts.net);
    struct seal_config c = {.node_id = d->config.totem.nodeid,
                            .node_max = d->config.totem.node_max,
                            .cipher = d->config.totem.cipher == CONFIG_AES256GCM
                                          ? SEAL_AES_256_GCM
                                          : SEAL_CHACHA20_POLY1305,
                            .key = key,
                            .source = net_source(&own)};
    hide_key(&d->config.runtime);
    int rc = config_key_load(d->config.totem.keyfile, key, d->error,
                             sizeof d->error);
    if (rc != 0)
        return fail(d, rc);
    if (random_fill((uint8_t *)&c.secrets, sizeof c.secrets))
        d->parts.seal = seal_new(&c);
    explicit_bzero(key, sizeof key);
    explicit_bzero(&c, sizeof c);
    if (d->parts.seal != NULL)
        return 0;
    snprintf(
        d->error, sizeof d->error,
        "cannot set up encryption: no memory, or OpenSSL lacks the cipher");
    return fail(d, -ENOMEM);
}

static int ringstate_make(struct daemon *d)
{
    char name[32];
    snprintf(name, sizeof name, "%08x", d->config.totem.nodeid);
    int rc = ringstate_open(&d->parts.ringstate, d->config.totem.statedir, name,
                            &d->ring_seq, d->error, sizeof d->error);
    if (rc != 0)
        return fail(d, rc);
    if (d->error[0] != '\0')
        log_write(LOG_LEVEL_WARNING, "MAIN", "%s", d->error);
    return 0;
}

/* A packet's claim on a receive buffer, the kernel's structures included. */
enum { PACKET_OVERHEAD = 1024 };

/* What would get the buffer that the window needs: the file asks for too
 * little, or the system gave less than it asked for. */
static void buffer_remedy(const struct daemon *d, uint64_t need, char *text,
                          size_t size)
{
    uint32_t asked = d->config.totem.receive_buffer_bytes;
    struct limit_process self = limit_process_get();
    const char *way = limit_way_to(&self, LIMIT_LARGE_BUFFERS);
    if (net_receive_buffer(d->parts.net) >= asked)
        snprintf(text, size, "set totem { receive_buffer } to %llu",
                 (unsigned long long)need);
    else
        snprintf(text, size, "set net.core.rmem_max to %u%s%s", asked,
                 way != NULL ? ", or " : "", way != NULL ? way : "");
}

static uint32_t window(const struct daemon *d, uint32_t packet_size)
{
    uint32_t wanted = d->config.totem.window_packets;
    uint64_t each = packet_size + PACKET_OVERHEAD;
    uint64_t room = net_receive_buffer(d->parts.net) / each;
    char remedy[128];
    if (room < 8)
        room = 8;
    if (room >= wanted)
        return wanted;
    buffer_remedy(d, wanted * each, remedy, sizeof remedy);
    log_write(LOG_LEVEL_WARNING, "MAIN",
              "receive buffer of %u bytes: window of %llu packets instead of "
              "%u (%s)",
              net_receive_buffer(d->parts.net), (unsigned long long)room,
              wanted, remedy);
    return (uint32_t)room;
}

static int totem_make(struct daemon *d)
{
    const struct config_timeout *o = &d->config.timeout;
    uint32_t packet_size = net_payload_size(d->parts.net) - SEAL_OVERHEAD;
    struct totem_config c = {.node_id = d->config.totem.nodeid,
                             .ring_seq = d->ring_seq,
                             .packet_size_max = packet_size,
                             .window_packets = window(d, packet_size),
                             .token_ns = o->token_ns,
                             .token_retransmit_ns = o->token_retransmit_ns,
                             .hold_ns = o->hold_ns,
                             .join_ns = o->join_ns,
                             .consensus_ns = o->consensus_ns,
                             .merge_ns = o->merge_ns,
                             .fail_recv_const = o->fail_recv_const};
    struct group_config g = {.node_id = c.node_id,
                             .node_max = d->config.totem.node_max,
                             .message_size_max =
                                 d->config.ipc.message_size_max +
                                 GROUP_SERVICE_HEADER_MAX};
    if (!random_fill((uint8_t *)&d->incarnation, sizeof d->incarnation))
        return -errno;
    c.incarnation = d->incarnation;
    d->parts.totem = totem_new(&c);
    d->parts.group = group_new(&g);
    return d->parts.totem != NULL && d->parts.group != NULL ? 0 : -ENOMEM;
}

/* When the host was booted, ns since the epoch. */
static uint64_t boot_time(void)
{
    struct timespec now, up;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    int64_t s = (int64_t)now.tv_sec - up.tv_sec;
    int64_t ns = s * 1000000000 + now.tv_nsec - up.tv_nsec;
    return ns > 0 ? (uint64_t)ns : 0;
}

/* What the cluster is told of this node. */
static struct ipc_clm_node self(const struct daemon *d)
{
    struct ipc_clm_node n = {.node_id = d->config.totem.nodeid,
                             .boot_ns = boot_time(),
                             .incarnation = d->incarnation,
                             .family = 1};
    struct in_addr address = net_local_address(d->parts.net);
    char name[sizeof n.name] = "";
    inet_ntop(AF_INET, &address, (char *)n.address, sizeof n.address);
    n.address_length = (uint16_t)strlen((char *)n.address);
    if (d->config.totem.nodename != NULL)
        snprintf(name, sizeof name, "%s", d->config.totem.nodename);
    else if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0')
        snprintf(name, sizeof name, "%s", (char *)n.address);
    n.name_length = (uint16_t)strlen(name);
    memcpy(n.name, name, n.name_length);
    return n;
}

/* Bytes; 0: no limit. */
static uint64_t user_memory_max(const struct config_ipc *ipc)
{
    struct memory_limit limit;

    if (ipc->uid_mib_max != CONFIG_UID_MIB_HALF)
        return (uint64_t)ipc->uid_mib_max << 20;
    memory_limit_get("", &limit);
    return limit.bytes != UINT64_MAX ? limit.bytes / 2 : 0;
}

static int server_make(struct daemon *d)
{
    const struct config_ipc *i = &d->config.ipc;
    d->parts.spin_ns = i->spin_us == CONFIG_SPIN_MEASURE ? wakeup_measure()
                                                         : i->spin_us * 1000;
    const struct group *ais = getgrnam(i->group);
    struct server_config c = {
        .node_id = d->config.totem.nodeid,
        .self = self(d),
        .run_dir = d->options.run_dir,
        .group_known = ais != NULL,
        .group = ais != NULL ? ais->gr_gid : 0,
        .client_max = i->client_max,
        .uid_client_max = i->uid_client_max,
        .uid_bytes_max = user_memory_max(i),
        .ckpt_user_count_max = d->config.ckpt.uid_checkpoint_max,
        .ckpt_user_handle_max = d->config.ckpt.uid_handle_max,
        .ckpt_count_max = d->config.ckpt.checkpoint_max,
        .ckpt_bytes_max = (uint64_t)d->config.ckpt.memory_mib << 20,
        .ckpt_safe = d->config.ckpt.safe,
        .ckpt_direct = d->config.ckpt.direct,
        .worker_count = i->workers,
        .spin_ns = d->parts.spin_ns,
        .slow_reader = i->slow_reader == CONFIG_SLOW_PRESSURE
                           ? SERVER_SLOW_PRESSURE
                           : SERVER_SLOW_DISCONNECT,
        .submit_ring_bytes = i->submit_ring_bytes,
        .event_ring_bytes = i->event_ring_bytes,
        .overflow_bytes = i->overflow_bytes,
        .message_size_max = i->message_size_max,
        .packet_size = net_payload_size(d->parts.net) - SEAL_OVERHEAD};
    if (ais == NULL)
        log_write(LOG_LEVEL_WARNING, "MAIN",
                  "there is no group %s: only root can connect (addgroup "
                  "--system %s)",
                  i->group, i->group);
    int rc = server_open(&d->parts.server, &c, d->error, sizeof d->error);
    return rc == 0 ? 0 : fail(d, rc);
}

static int signals_make(struct daemon *d)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -errno;
    d->parts.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return d->parts.signal_fd < 0 ? -errno : 0;
}

static int loop_make(struct daemon *d)
{
    d->parts.generation_fd = generation_open();
    if (d->parts.generation_fd < 0)
        log_write(LOG_LEVEL_DEBUG, "MAIN",
                  "the kernel will not tell of a new generation of this "
                  "virtual machine: %s",
                  strerror(-d->parts.generation_fd));
    return loop_open(&d->parts.loop);
}

static int make_all(struct daemon *d)
{
    static int (*const makers[])(struct daemon *) = {
        signals_make,   log_make,   net_make,    seal_make,
        ringstate_make, totem_make, server_make, loop_make};
    d->parts.config = &d->config;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        d->error[0] = '\0';
        int rc = makers[i](d);
        if (rc == 0)
            continue;
        if (d->error[0] == '\0') {
            char why[LIMIT_TEXT_SIZE];
            snprintf(d->error, sizeof d->error, "start failed: %s",
                     limit_explain(-rc, why));
            fail(d, rc);
        }
        return rc;
    }
    return 0;
}

static void unmake_all(struct daemon *d)
{
    server_close(d->parts.server);
    net_close(d->parts.net);
    seal_free(d->parts.seal);
    totem_free(d->parts.totem);
    group_free(d->parts.group);
    ringstate_close(d->parts.ringstate);
    loop_close(d->parts.loop);
    if (d->parts.signal_fd >= 0)
        close(d->parts.signal_fd);
    if (d->parts.generation_fd >= 0)
        close(d->parts.generation_fd);
    log_stop();
    config_free(&d->config);
}

static int run(struct daemon *d, int start_fd)
{
    int rc = make_all(d);
    if (rc == 0) {
        lock_pages(&d->config.runtime);
        schedule(&d->config.runtime);
        started(d, start_fd);
        log_write(LOG_LEVEL_NOTICE, "MAIN",
                  "aisexec started: node %u on %s, config %s",
                  d->config.totem.nodeid, net_interface(d->parts.net),
                  d->options.config_path);
        rc = protocol_run(&d->parts);
        if (rc != 0)
            log_write(LOG_LEVEL_ERROR, "MAIN", "the loop cannot be set up: %s",
                      strerror(-rc));
    }
    unmake_all(d);
    return rc == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct daemon d = {.parts = {.signal_fd = -1, .generation_fd = -1}};
    /* A file that would be larger than its limit: the call fails, and what it
     * was for is reported. */
    signal(SIGXFSZ, SIG_IGN);
    options_parse(argc, argv, &d.options);
    if (config_load(d.options.config_path, &d.config, d.error,
                    sizeof d.error) != 0) {
        fprintf(stderr, "aisexec: %s\n", d.error);
        return 1;
    }
    if (d.options.test) {
        printf("%s: correct\n", d.options.config_path);
        config_free(&d.config);
        return 0;
    }
    if (!null_device_is_there())
        return 1;
    inherited_drop(d.options.foreground);
    int start_fd = -1;
    if (!d.options.foreground && (start_fd = background()) < 0) {
        perror("aisexec: fork");
        return 1;
    }
    return run(&d, start_fd);
}
