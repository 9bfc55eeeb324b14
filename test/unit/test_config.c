/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration loader and the key file. Runs every golden file too, with
 * the text that test/golden/run.sh expects of the daemon. */
#include "config/config.h"
#include "config/schema.h"
#include "config/syntax.h"
#include "test/unit/unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define TOTEM                                                                  \
    "totem { bindnetaddr: 192.168.1.0 mcastaddr: 226.94.1.1 mcastport: 5405 }"

static char error[CONFIG_ERROR_SIZE];

static int parse(const char *text, struct config *c)
{
    error[0] = '\0';
    return config_parse("t", text, strlen(text), c, error, sizeof error);
}

static void expect_refused(const char *text, const char *expected)
{
    struct config c;
    CU_ASSERT_EQUAL(parse(text, &c), -EINVAL);
    CU_ASSERT_PTR_NULL(c.totem.keyfile);
    if (strstr(error, expected) == NULL) {
        printf("\n  of: %s\n  expected: %s\n  got: %s\n", text, expected,
               error);
        CU_FAIL("another text");
    }
}

static size_t read_file(const char *path, char *to, size_t size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return 0;
    size_t n = fread(to, 1, size - 1, f);
    to[n] = '\0';
    fclose(f);
    return n;
}

/* --- values --------------------------------------------------------------- */

static void test_defaults(void)
{
    struct config c;
    CU_ASSERT_EQUAL_FATAL(parse(TOTEM, &c), 0);
    CU_ASSERT_EQUAL(c.totem.bindnetaddr.s_addr, inet_addr("192.168.1.0"));
    CU_ASSERT_EQUAL(c.totem.mcastaddr.s_addr, inet_addr("226.94.1.1"));
    CU_ASSERT_EQUAL(c.totem.mcastport, 5405);
    CU_ASSERT_EQUAL(c.totem.nodeid, 0);
    CU_ASSERT_EQUAL(c.totem.netmtu, 0);
    CU_ASSERT_EQUAL(c.totem.cipher, CONFIG_AES256GCM);
    CU_ASSERT_EQUAL(c.totem.transport, CONFIG_MULTICAST);
    CU_ASSERT_EQUAL(c.totem.node_count, 0);
    CU_ASSERT_STRING_EQUAL(c.totem.keyfile, "/etc/ais/authkey");
    CU_ASSERT_STRING_EQUAL(c.totem.statedir, "/var/lib/openais");
    CU_ASSERT_EQUAL(c.totem.window_packets, 1024);
    CU_ASSERT_EQUAL(c.totem.node_max, 128);
    CU_ASSERT_EQUAL(c.totem.receive_buffer_bytes, 8 << 20);
    CU_ASSERT_EQUAL(c.totem.send_buffer_bytes, 4 << 20);
    CU_ASSERT(c.logging.to_stderr && c.logging.to_syslog && !c.logging.to_file);
    CU_ASSERT(c.logging.debug && c.logging.timestamp);
    CU_ASSERT_PTR_NULL(c.logging.logfile);
    CU_ASSERT_EQUAL(c.runtime.policy, CONFIG_POLICY_RR);
    CU_ASSERT_EQUAL(c.runtime.priority, 0);
    CU_ASSERT(c.runtime.lock_memory);
    CU_ASSERT(!c.runtime.core_dumps);
    CU_ASSERT_EQUAL(c.ipc.client_max, 1024);
    CU_ASSERT_EQUAL(c.ipc.uid_client_max, 512);
    CU_ASSERT_EQUAL(c.ipc.uid_mib_max, CONFIG_UID_MIB_HALF);
    CU_ASSERT_EQUAL(c.ipc.workers, 1);
    CU_ASSERT_EQUAL(c.ipc.spin_us, CONFIG_SPIN_MEASURE);
    CU_ASSERT_EQUAL(c.ipc.slow_reader, CONFIG_SLOW_PRESSURE);
    CU_ASSERT_EQUAL(c.ipc.submit_ring_bytes, 4194304);
    CU_ASSERT_EQUAL(c.ipc.event_ring_bytes, 8388608);
    CU_ASSERT_EQUAL(c.ipc.overflow_bytes, 33554432);
    CU_ASSERT_EQUAL(c.ipc.message_size_max, 1048576);
    CU_ASSERT_STRING_EQUAL(c.ipc.group, "ais");
    CU_ASSERT_EQUAL(c.ckpt.checkpoint_max, 4096);
    CU_ASSERT_EQUAL(c.ckpt.uid_checkpoint_max, 1024);
    CU_ASSERT_EQUAL(c.ckpt.uid_handle_max, 16384);
    CU_ASSERT_EQUAL(c.ckpt.memory_mib, 2048);
    CU_ASSERT(!c.ckpt.safe);
    CU_ASSERT(c.ckpt.direct);
    CU_ASSERT_EQUAL(c.event.delivery_queue_size, 1000);
    CU_ASSERT_EQUAL(c.event.delivery_queue_resume, 500);
    config_free(&c);
}

static void test_timeout_defaults(void)
{
    struct config c;
    CU_ASSERT_EQUAL_FATAL(parse(TOTEM, &c), 0);
    CU_ASSERT_EQUAL(c.timeout.token_ns, 200 * MS);
    CU_ASSERT_EQUAL(c.timeout.token_retransmit_ns, 47 * MS);
    CU_ASSERT_EQUAL(c.timeout.hold_ns, 27 * MS);
    CU_ASSERT_EQUAL(c.timeout.retransmits_before_loss, 4);
    CU_ASSERT_EQUAL(c.timeout.join_ns, 100 * MS);
    CU_ASSERT_EQUAL(c.timeout.consensus_ns, 200 * MS);
    CU_ASSERT_EQUAL(c.timeout.merge_ns, 200 * MS);
    CU_ASSERT_EQUAL(c.timeout.downcheck_ns, 1000 * MS);
    CU_ASSERT_EQUAL(c.timeout.fail_recv_const, 250);
    config_free(&c);
}

static void test_timeout_derived(void)
{
    struct config c;
    CU_ASSERT_EQUAL_FATAL(parse(TOTEM " timeout { token: 1000 }", &c), 0);
    CU_ASSERT_EQUAL(c.timeout.token_retransmit_ns, 238 * MS);
    CU_ASSERT_EQUAL(c.timeout.hold_ns, 180 * MS);
    config_free(&c);
    CU_ASSERT_EQUAL_FATAL(
        parse(TOTEM " timeout { retransmits_before_loss: 10 }", &c), 0);
    CU_ASSERT_EQUAL(c.timeout.token_retransmit_ns, 19 * MS);
    CU_ASSERT_EQUAL(c.timeout.hold_ns, 5 * MS);
    config_free(&c);
    CU_ASSERT_EQUAL_FATAL(parse(TOTEM " timeout { token: 10 }", &c), 0);
    CU_ASSERT_EQUAL(c.timeout.token_retransmit_ns, 2 * MS);
    CU_ASSERT_EQUAL(c.timeout.hold_ns, 1 * MS);
    config_free(&c);
    /* What is set is not derived again. */
    CU_ASSERT_EQUAL_FATAL(parse(TOTEM " timeout { token_retransmit: 60 "
                                      "retransmits_before_loss: 9 }",
                                &c),
                          0);
    CU_ASSERT_EQUAL(c.timeout.token_ns, 200 * MS);
    CU_ASSERT_EQUAL(c.timeout.token_retransmit_ns, 60 * MS);
    CU_ASSERT_EQUAL(c.timeout.hold_ns, 38 * MS);
    config_free(&c);
}

static void test_every_key(void)
{
    struct config c;
    CU_ASSERT_EQUAL_FATAL(
        config_load("test/golden/every-key.conf", &c, error, sizeof error), 0);
    CU_ASSERT_EQUAL(c.totem.mcastport, 65534);
    CU_ASSERT_EQUAL(c.totem.nodeid, 7);
    CU_ASSERT_STRING_EQUAL(c.totem.nodename, "seven of nine");
    CU_ASSERT_EQUAL(c.ckpt.checkpoint_max, 7);
    CU_ASSERT_EQUAL(c.ckpt.uid_checkpoint_max, 3);
    CU_ASSERT_EQUAL(c.ckpt.uid_handle_max, 0);
    CU_ASSERT_EQUAL(c.ckpt.memory_mib, 64);
    CU_ASSERT(c.ckpt.safe);
    CU_ASSERT(!c.ckpt.direct);
    CU_ASSERT_EQUAL(c.totem.netmtu, 9000);
    CU_ASSERT_EQUAL(c.totem.window_packets, 8192);
    CU_ASSERT(c.logging.to_file && !c.logging.to_stderr);
    CU_ASSERT(!c.logging.to_syslog);
    CU_ASSERT(!c.logging.debug && !c.logging.timestamp);
    CU_ASSERT_STRING_EQUAL(c.logging.logfile, "/var/log/aisexec.log");
    CU_ASSERT_EQUAL(c.timeout.token_ns, 1000 * MS);
    CU_ASSERT_EQUAL(c.timeout.consensus_ns, 1200 * MS);
    CU_ASSERT_EQUAL(c.timeout.fail_recv_const, 2500);
    CU_ASSERT_EQUAL(c.runtime.policy, CONFIG_POLICY_FIFO);
    CU_ASSERT_EQUAL(c.runtime.priority, 1);
    CU_ASSERT(!c.runtime.lock_memory);
    CU_ASSERT(c.runtime.core_dumps);
    CU_ASSERT_EQUAL(c.ipc.client_max, 10);
    CU_ASSERT_EQUAL(c.ipc.uid_client_max, 5);
    CU_ASSERT_EQUAL(c.ipc.uid_mib_max, 1024);
    CU_ASSERT_EQUAL(c.ipc.workers, 16);
    CU_ASSERT_EQUAL(c.ipc.spin_us, 0);
    CU_ASSERT_EQUAL(c.ipc.slow_reader, CONFIG_SLOW_DISCONNECT);
    CU_ASSERT_EQUAL(c.ipc.overflow_bytes, 0);
    CU_ASSERT_EQUAL(c.ipc.message_size_max, 250000);
    CU_ASSERT_STRING_EQUAL(c.ipc.group, "staff");
    config_free(&c);
}

static void test_both_syntaxes(void)
{
    struct config c;
    CU_ASSERT_EQUAL_FATAL(
        config_load("test/golden/libconfuse.conf", &c, error, sizeof error), 0);
    CU_ASSERT_EQUAL(c.totem.bindnetaddr.s_addr, inet_addr("192.168.1.0"));
    CU_ASSERT_EQUAL(c.totem.cipher, CONFIG_CHACHA20POLY1305);
    CU_ASSERT(c.logging.to_file && c.logging.to_stderr && c.logging.to_syslog);
    CU_ASSERT(!c.logging.debug);
    /* Nothing in a value is expanded. */
    CU_ASSERT_STRING_EQUAL(
        c.logging.logfile,
        "/tmp/a \"quoted\" name # with {odd} ${HOME} things");
    config_free(&c);
    CU_ASSERT_EQUAL_FATAL(
        parse(TOTEM " logging { logfile: '/tmp/a${HOME}\\\\' }", &c), 0);
    CU_ASSERT_STRING_EQUAL(c.logging.logfile, "/tmp/a${HOME}\\");
    config_free(&c);
}

static void test_unicast(void)
{
    struct config c;
    CU_ASSERT_EQUAL_FATAL(
        config_load("test/golden/unicast.conf", &c, error, sizeof error), 0);
    CU_ASSERT_EQUAL(c.totem.transport, CONFIG_UNICAST);
    CU_ASSERT_EQUAL_FATAL(c.totem.node_count, 4);
    CU_ASSERT_EQUAL(c.totem.nodes[0].s_addr, inet_addr("10.0.0.1"));
    CU_ASSERT_EQUAL(c.totem.nodes[3].s_addr, inet_addr("10.0.0.4"));
    CU_ASSERT_EQUAL(c.totem.nodeid, 4294967294);
    config_free(&c);
}

/* --- faults --------------------------------------------------------------- */

static void test_ranges(void)
{
    expect_refused(TOTEM "\ntimeout { token: 9 }", "t:2: token is '9': must");
    expect_refused(TOTEM "\n\ntimeout {\ntoken: 300001 }", "t:4: token is");
    expect_refused("totem { window: 7 }", "8 to 8192");
    expect_refused("totem { window: 8193 }", "8 to 8192");
    expect_refused("totem { node_max: 129 }", "1 to 128");
    expect_refused("totem { nodeid: 0 }", "1 to 4294967294");
    expect_refused("totem { nodeid: 4294967295 }", "1 to 4294967294");
    expect_refused("totem { netmtu: 575 }", "576 to 65535");
    expect_refused("totem { mcastport: 0 }", "1 to 65534");
    expect_refused("totem { mcastport: 0x10 }", "1 to 65534");
    expect_refused("totem { mcastport: +5 }", "1 to 65534");
    expect_refused("totem { keyfile: '' }", "keyfile");
    expect_refused("totem { bindnetaddr: 0.0.0.0 }", "IPv4");
    expect_refused("totem { bindnetaddr: ::1 }", "IPv4");
    expect_refused("ipc { submit_ring: 1048576 }", "2097152 to");
    expect_refused("ipc { event_ring: 8388609 }", "power of two");
    expect_refused("ipc { message_max: 1048577 }", "1024 to 1048576");
    expect_refused("ipc { client_max: 0 }", "1 to 65536");
    expect_refused("ipc { workers: 0 }", "1 to 16");
    expect_refused("ipc { spin: 1001 }", "0 to 1000");
    expect_refused("ipc { slow_reader: wait }", "pressure disconnect");
    expect_refused("runtime { priority: 100 }", "1 to 99");
    expect_refused("runtime { policy: idle }", "rr fifo other");
    expect_refused("logging { timestamp: ON }", "on or off");
    expect_refused("timeout { retransmits_before_loss: 0 }", "1 to 100");
}

static void test_nodes_many(void)
{
    char text[8192] = "totem { transport: unicast nodes: {10.0.0.1";
    for (int i = 2; i <= CONFIG_NODES_MAX + 1; i++)
        sprintf(text + strlen(text), ", 10.0.0.%d", i);
    strcat(text, "} }");
    expect_refused(text, "128 nodes at most");
}

static void test_odd_texts(void)
{
    expect_refused("", "t:1: the file ends without a section 'totem'");
    expect_refused("\n\n", "t:2: ");
    expect_refused("}", "closes nothing");
    expect_refused("{", "expected the name");
    expect_refused("totem", "after 'totem'");
    expect_refused("totem {", "t:1: the section that begins here");
    expect_refused("totem { mcastport: { } }", "needs a value");
    expect_refused("totem { mcastport: { 1 2 } }", "expected ',' or '}'");
    expect_refused("totem { mcastport: { 1, } }", "needs a value");
    expect_refused("totem { mcastport: \"\\x41\" }", "backslash");
    expect_refused("totem { mcastport: \"\\", "backslash");
    expect_refused("/*", "has no end");
    expect_refused("/*/", "has no end");
    expect_refused("totem += 3", "totem");
    expect_refused("totem|mcastport = 3", "after 'totem'");
    expect_refused("__unknown = 3", "__unknown");
    expect_refused("\xff\xfe", "byte 0xff");
    expect_refused("include = \"/etc/passwd\"", "no such option 'include'");
}

/* A text as large as is allowed, of any one byte, costs neither the process
 * nor much time. */
static void test_large(void)
{
    static const char bytes[] = {'{', '}', ' ', '\n', 'a', ':',  '"', '\'',
                                 '#', '/', '*', ',',  0,   '\\', '=', '\xff'};
    size_t size = CONFIG_FILE_SIZE_MAX;
    char *text = malloc(size + 1);
    struct config c;
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (size_t i = 0; i < sizeof bytes; i++) {
        memset(text, bytes[i], size + 1);
        CU_ASSERT_EQUAL(config_parse("t", text, size, &c, error, sizeof error),
                        -EINVAL);
        CU_ASSERT_EQUAL(
            config_parse("t", text, size + 1, &c, error, sizeof error), -EFBIG);
    }
    for (size_t i = 0; i + 8 <= size; i += 8)
        memcpy(text + i, "totem{}\n", 8);
    CU_ASSERT_EQUAL(config_parse("t", text, size, &c, error, sizeof error),
                    -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "t:32768: bindnetaddr"));
    free(text);
}

/* Every beginning of a good file, and the file with each byte changed: no
 * crash (the sanitizers look on), an error with a text or a configuration. */
static void test_mutations(void)
{
    char text[4096], copy[4096];
    size_t n = read_file("test/golden/every-key.conf", text, sizeof text);
    CU_ASSERT_FATAL(n > 500);
    for (size_t i = 0; i < n * 3; i++) {
        struct config c;
        size_t size = i < n ? i : n;
        memcpy(copy, text, n);
        if (i >= n)
            copy[i % n] = (char)(i < 2 * n ? copy[i % n] ^ 0x20 : '{');
        error[0] = '\0';
        int r = config_parse("t", copy, size, &c, error, sizeof error);
        CU_ASSERT((r == 0) == (error[0] == '\0'));
        config_free(&c);
    }
}

static void test_small_error_buffer(void)
{
    struct config c;
    char small[8];
    for (size_t size = 1; size <= sizeof small; size++) {
        memset(small, 'x', sizeof small);
        CU_ASSERT_EQUAL(config_parse("name", "totem {", 7, &c, small, size),
                        -EINVAL);
        CU_ASSERT_PTR_NOT_NULL(memchr(small, '\0', size));
    }
}

/* The translation keeps each token on its line. */
static void test_translation(void)
{
    struct syntax_fault fault;
    const char *text = "a {\n  b: 1 # c\n\n  d = {x,\n'y'}}\n";
    char *out = syntax_translate(text, strlen(text), &fault);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT_STRING_EQUAL(out, "a { \nb = '1' \n\nd = {'x' ,\n'y' }  } \n\n");
    free(out);
    CU_ASSERT_EQUAL(syntax_line_count("a\nb", 3), 2);
    CU_ASSERT_EQUAL(syntax_line_count("a\nb\n", 4), 2);
}

/* --- golden files --------------------------------------------------------- */

static void run_golden(const char *path)
{
    char other[512], expected[2048], actual[2048];
    struct config c;
    size_t stem = strlen(path) - strlen(".conf");
    int r = config_load(path, &c, error, sizeof error);
    if (r == 0)
        snprintf(actual, sizeof actual, "%s: correct\n", path);
    else
        snprintf(actual, sizeof actual, "%s\n", error);
    config_free(&c);
    snprintf(other, sizeof other, "%.*s.%s", (int)stem, path,
             r == 0 ? "ok" : "err");
    CU_ASSERT(read_file(other, expected, sizeof expected) > 0);
    CU_ASSERT_STRING_EQUAL(actual, expected);
}

static void test_golden(void)
{
    DIR *dir = opendir("test/golden");
    unsigned count = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[512];
        size_t n = strlen(e->d_name);
        if (n < 6 || strcmp(e->d_name + n - 5, ".conf") != 0)
            continue;
        snprintf(path, sizeof path, "test/golden/%s", e->d_name);
        run_golden(path);
        count++;
    }
    closedir(dir);
    CU_ASSERT(count > 40);
}

static void test_shipped(void)
{
    struct config c;
    CU_ASSERT_EQUAL_FATAL(
        config_load("config/openais.conf", &c, error, sizeof error), 0);
    CU_ASSERT_EQUAL(c.totem.mcastport, 5405);
    CU_ASSERT(c.logging.to_stderr && c.logging.to_syslog);
    config_free(&c);
}

/* The manual has every key, with its range or its words. */
static void test_manual(void)
{
    static char manual[65536];
    CU_ASSERT_FATAL(read_file("doc/man/openais.conf.5", manual, sizeof manual) >
                    0);
    for (unsigned i = 0; i < schema_key_count; i++) {
        const struct schema_key *k = &schema_keys[i];
        char tag[80], range[80] = "";
        snprintf(tag, sizeof tag, "\n.BR %s \" (", k->name);
        if (k->max != 0 && k->kind != SCHEMA_TEXT)
            snprintf(range, sizeof range, "%llu to %llu",
                     (unsigned long long)k->min, (unsigned long long)k->max);
        const char *entry = strstr(manual, tag);
        CU_ASSERT_PTR_NOT_NULL(entry);
        const char *at = entry != NULL ? strstr(entry, range) : NULL;
        if (at == NULL || at > strchr(entry + 1, '\n')) {
            printf("\n  %s.%s: '%s' is not in the manual\n", k->section,
                   k->name, range);
            CU_FAIL("the manual lacks a key or its range");
        }
    }
}

static void test_files(void)
{
    struct config c;
    char path[] = "/tmp/openais-config-XXXXXX";
    CU_ASSERT_EQUAL(config_load("/nonexistent/x", &c, error, sizeof error),
                    -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "/nonexistent/x: No such file"));
    CU_ASSERT_EQUAL(config_load("/tmp", &c, error, sizeof error), -EISDIR);
    config_free(&c);
    /* 10 MB, of which no more than the limit is read. */
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(ftruncate(fd, 10 << 20), 0);
    CU_ASSERT_EQUAL(config_load(path, &c, error, sizeof error), -EFBIG);
    close(fd);
    unlink(path);
}

static void test_default_path(void)
{
    unsetenv("OPENAIS_CONFIG");
    CU_ASSERT_STRING_EQUAL(config_default_path(), "/etc/ais/openais.conf");
    setenv("OPENAIS_CONFIG", "", 1);
    CU_ASSERT_STRING_EQUAL(config_default_path(), "/etc/ais/openais.conf");
    setenv("OPENAIS_CONFIG", "/a/b", 1);
    CU_ASSERT_STRING_EQUAL(config_default_path(), "/a/b");
    unsetenv("OPENAIS_CONFIG");
}

/* --- the key -------------------------------------------------------------- */

static char key_path[] = "/tmp/openais-key-XXXXXX";

static void key_file_of(const uint8_t *bytes, size_t size, mode_t mode)
{
    strcpy(key_path + strlen(key_path) - 6, "XXXXXX");
    int fd = mkstemp(key_path);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(write(fd, bytes, size), (ssize_t)size);
    fchmod(fd, mode);
    close(fd);
}

static void key_file(size_t size, mode_t mode)
{
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i + 1);
    key_file_of(bytes, size, mode);
}

static void expect_key(int result, const char *text)
{
    static const uint8_t zero[CONFIG_KEY_SIZE];
    uint8_t key[CONFIG_KEY_SIZE];
    error[0] = '\0';
    memset(key, 0xaa, sizeof key);
    CU_ASSERT_EQUAL(config_key_load(key_path, key, error, sizeof error),
                    result);
    if (result == 0) {
        CU_ASSERT_EQUAL(key[0], 1);
        CU_ASSERT_EQUAL(key[127], 128);
    } else {
        CU_ASSERT_EQUAL(memcmp(key, zero, sizeof key), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(error, key_path));
        CU_ASSERT_PTR_NOT_NULL(strstr(error, text));
    }
}

static void test_key(void)
{
    key_file(128, 0400);
    expect_key(0, "");
    unlink(key_path);
    key_file(128, 0600);
    expect_key(0, "");
    unlink(key_path);
    expect_key(-ENOENT, "keygen");
}

/* Files that nobody drew at random: one byte, a word, a few bytes among zeros,
 * again and again. */
static void test_dull_key(void)
{
    static const char *const words[] = {"\xff", "ab", "correct horse battery"};
    uint8_t key[CONFIG_KEY_SIZE] = {0};
    key_file_of(key, sizeof key, 0400);
    expect_key(-EINVAL, "no random key");
    unlink(key_path);
    for (size_t i = 0; i < 12; i++)
        key[i * 10] = (uint8_t)(i + 1);
    key_file_of(key, sizeof key, 0400);
    expect_key(-EINVAL, "no random key");
    unlink(key_path);
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = (uint8_t)words[w][i % strlen(words[w])];
        key_file_of(key, sizeof key, 0400);
        expect_key(-EINVAL, "no random key");
        unlink(key_path);
    }
}

static void test_key_size(void)
{
    static const size_t sizes[] = {0, 1, 127, 129, 256};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        key_file(sizes[i], 0400);
        expect_key(-EINVAL, "must have exactly 128");
        unlink(key_path);
    }
}

static void test_key_mode(void)
{
    static const mode_t modes[] = {0440, 0404, 0620, 0602, 0410, 0401};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        key_file(128, modes[i]);
        expect_key(-EACCES, "chmod 0400");
        unlink(key_path);
    }
}

static void test_key_owner(void)
{
    key_file(128, 0400);
    if (geteuid() == 0) {
        CU_ASSERT_EQUAL(chown(key_path, 12345, 0), 0);
        expect_key(-EACCES, "chown");
    } else {
        printf("\nSKIP a key of another user: needs root\n");
    }
    unlink(key_path);
}

static void test_key_kind(void)
{
    key_file(0, 0400);
    unlink(key_path);
    CU_ASSERT_EQUAL(mkfifo(key_path, 0400), 0);
    expect_key(-EINVAL, "not a regular file");
    unlink(key_path);
    CU_ASSERT_EQUAL(mkdir(key_path, 0700), 0);
    expect_key(-EINVAL, "not a regular file");
    rmdir(key_path);
}

static const struct unit_test tests[] = {
    {"defaults", test_defaults},
    {"timeouts: defaults", test_timeout_defaults},
    {"timeouts: derived", test_timeout_derived},
    {"every key", test_every_key},
    {"both syntaxes", test_both_syntaxes},
    {"unicast", test_unicast},
    {"ranges", test_ranges},
    {"too many nodes", test_nodes_many},
    {"odd texts", test_odd_texts},
    {"large texts", test_large},
    {"mutations", test_mutations},
    {"small error buffer", test_small_error_buffer},
    {"translation", test_translation},
    {"golden files", test_golden},
    {"the shipped example", test_shipped},
    {"the manual", test_manual},
    {"files", test_files},
    {"default path", test_default_path},
    {"key", test_key},
    {"key: size", test_key_size},
    {"key: no random one", test_dull_key},
    {"key: mode", test_key_mode},
    {"key: owner", test_key_owner},
    {"key: kind of file", test_key_kind},
};

UNIT_MAIN("config", tests)
