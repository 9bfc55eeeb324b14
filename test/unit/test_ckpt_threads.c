/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ckpt_threads.c - libSaCkpt with any number of threads on its handles,
 * handles that end while others use them, calls that are given up, a daemon
 * that stands still, and fork(). */
#include "test/unit/ckpt_box.h"

#include "api/client.h" /* their limits */
#include "api/handle.h"

#include <signal.h>

static void pause_us(uint32_t us)
{
    struct timespec t = {.tv_nsec = (long)us * 1000};
    nanosleep(&t, NULL);
}

static _Atomic bool stop_all;
static _Atomic uint64_t wrong, calls;
static SaCkptCheckpointHandleT shared; /* what the threads use */

/* --- all at once ---------------------------------------------------------- */

/* More than an answer holds, which has room for a little more than the largest
 * message: it is read in pieces. */
enum { LARGE = 200000, SMALL_MESSAGE = 16384 };

static void begin_small(void)
{
    memset(&seen, 0, sizeof seen);
    d.alone = true;
    struct server_config c = config();
    c.message_size_max = SMALL_MESSAGE;
    start_with(c);
}

static bool ends_are(const uint8_t *data, uint32_t *value)
{
    uint32_t last;
    memcpy(value, data, sizeof *value);
    memcpy(&last, data + LARGE - sizeof last, sizeof last);
    return *value == last;
}

/* The two ends at once. */
static SaAisErrorT write_ends(uint32_t value)
{
    SaCkptIOVectorElementT v[] = {{.sectionId = id_of("large"),
                                   .dataBuffer = &value,
                                   .dataSize = sizeof value},
                                  {.sectionId = id_of("large"),
                                   .dataBuffer = &value,
                                   .dataSize = sizeof value,
                                   .dataOffset = LARGE - sizeof value}};
    return saCkptCheckpointWrite(shared, v, 2, NULL);
}

static void *write_always(void *context)
{
    uint32_t value = (uint32_t)(uintptr_t)context;
    while (!stop_all) {
        wrong += write_ends(value) != SA_AIS_OK;
        value += 2;
        calls++;
        pause_us(500);
    }
    return NULL;
}

/* What is read is of one moment. */
static void *read_always(void *context)
{
    uint8_t *data = malloc(LARGE);
    uint32_t value;
    (void)context;
    while (!stop_all) {
        SaSizeT n = LARGE;
        SaAisErrorT error = read_at(shared, "large", 0, data, &n);
        wrong += error != SA_AIS_OK || n != LARGE || !ends_are(data, &value);
        SaCkptIOVectorElementT e = {.sectionId = id_of("large")};
        error = saCkptCheckpointRead(shared, &e, 1, NULL);
        wrong += error != SA_AIS_OK || e.readSize != LARGE ||
                 !ends_are(e.dataBuffer, &value);
        free(e.dataBuffer);
        calls++;
    }
    free(data);
    return NULL;
}

/* Its own section: who writes reads it. */
static void *own_section(void *context)
{
    char id[] = "own-0";
    uint32_t number = 0;
    id[4] = (char)('0' + (uintptr_t)context);
    while (!stop_all) {
        uint32_t got = 0;
        SaSizeT n = sizeof got;
        number++;
        wrong += create(shared, id, SA_TIME_END, NULL, 0) != SA_AIS_OK;
        wrong += write_at(shared, id, 0, &number, 4) != SA_AIS_OK;
        wrong += read_at(shared, id, 0, &got, &n) != SA_AIS_OK;
        wrong += n != sizeof got || got != number;
        wrong += delete_one(shared, id) != SA_AIS_OK;
        calls++;
    }
    return NULL;
}

static void *iterate_always(void *context)
{
    SaCkptSectionIterationHandleT i;
    SaCkptSectionDescriptorT s;
    SaCkptCheckpointDescriptorT status;
    (void)context;
    while (!stop_all) {
        SaAisErrorT error = saCkptSectionIterationInitialize(shared, 5, 0, &i);
        bool found = false;
        wrong += error != SA_AIS_OK;
        while ((error = saCkptSectionIterationNext(i, &s)) == SA_AIS_OK)
            found |= s.sectionId.idLen == 5 &&
                     memcmp(s.sectionId.id, "large", 5) == 0;
        wrong += error != SA_AIS_ERR_NO_SECTIONS || !found;
        wrong += saCkptSectionIterationFinalize(i) != SA_AIS_OK;
        wrong += saCkptCheckpointStatusGet(shared, &status) != SA_AIS_OK;
        calls++;
    }
    return NULL;
}

static void *open_always(void *context)
{
    SaNameT name = name_of("all");
    (void)context;
    while (!stop_all) {
        SaCkptCheckpointHandleT ck = 0;
        wrong += try_open("all", NULL, READ | WRITE, &ck) != SA_AIS_OK;
        wrong += saCkptCheckpointSynchronizeAsync(ck, 1) != SA_AIS_OK;
        wrong += saCkptCheckpointClose(ck) != SA_AIS_OK;
        wrong +=
            saCkptCheckpointOpenAsync(h, 2, &name, NULL, READ) != SA_AIS_OK;
        calls++;
        pause_us(300);
    }
    return NULL;
}

static _Atomic uint64_t opened;

static void close_opened(SaInvocationT invocation, SaCkptCheckpointHandleT ck,
                         SaAisErrorT error)
{
    wrong += invocation != 2 || error != SA_AIS_OK;
    wrong += saCkptCheckpointClose(ck) != SA_AIS_OK;
    opened++;
}

static void synchronized(SaInvocationT invocation, SaAisErrorT error)
{
    wrong += invocation != 1 || error != SA_AIS_OK;
}

static void *dispatch_blocking(void *handle)
{
    SaAisErrorT error =
        saCkptDispatch(*(SaCkptHandleT *)handle, SA_DISPATCH_BLOCKING);
    wrong += error != SA_AIS_OK && error != SA_AIS_ERR_BAD_HANDLE;
    return NULL;
}

static void test_all_at_once(void)
{
    const SaCkptCallbacksT c = {close_opened, synchronized};
    void *(*const run[])(void *) = {write_always,   write_always, read_always,
                                    read_always,    own_section,  own_section,
                                    iterate_always, open_always};
    enum { THREADS = sizeof run / sizeof *run };
    SaCkptCheckpointCreationAttributesT a = attributes();
    pthread_t t[THREADS], dispatchers[2];
    begin_small();
    h = open_handle(&c);
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA;
    a.maxSectionSize = a.checkpointSize = LARGE;
    shared = open_with("all", a);
    IS(create(shared, "large", SA_TIME_END, "", 0), OK);
    IS(write_ends(0), OK);
    stop_all = false;
    wrong = calls = opened = 0;
    for (int i = 0; i < 2; i++)
        pthread_create(&dispatchers[i], NULL, dispatch_blocking, &h);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, run[i], (void *)i);
    pause_ms(1500);
    stop_all = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    pause_ms(100);
    end();
    for (int i = 0; i < 2; i++)
        pthread_join(dispatchers[i], NULL);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(calls > 200 && opened > 10);
    printf("\n%llu calls, ", (unsigned long long)calls);
}

static void *shrink_always(void *context)
{
    SaCkptSectionIdT id = id_of("large");
    (void)context;
    while (!stop_all) {
        wrong += saCkptSectionOverwrite(shared, &id, "short", 5) != SA_AIS_OK;
        pause_us(300);
        wrong += write_ends(1) != SA_AIS_OK;
        pause_us(300);
    }
    return NULL;
}

/* It is never beyond the end for who reads from the beginning. */
static void test_shrinking(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    uint8_t *data = malloc(LARGE);
    uint64_t end_ms = mono_ms() + 1000;
    pthread_t t;
    begin_small();
    h = open_handle(&callbacks);
    a.maxSectionSize = a.checkpointSize = LARGE;
    shared = open_with("shrinks", a);
    IS(create(shared, "large", SA_TIME_END, "", 0), OK);
    IS(write_ends(1), OK);
    stop_all = false;
    wrong = calls = 0;
    pthread_create(&t, NULL, shrink_always, NULL);
    for (; mono_ms() < end_ms; calls++) {
        SaSizeT n = LARGE;
        wrong += read_at(shared, "large", 0, data, &n) != SA_AIS_OK ||
                 (n != LARGE && n != 5);
        SaCkptIOVectorElementT e = {.sectionId = id_of("large")};
        wrong += saCkptCheckpointRead(shared, &e, 1, NULL) != SA_AIS_OK ||
                 (e.readSize != LARGE && e.readSize != 5);
        free(e.dataBuffer);
    }
    stop_all = true;
    pthread_join(t, NULL);
    CU_ASSERT(wrong == 0 && calls > 100);
    free(data);
    end();
}

/* --- ended while in use --------------------------------------------------- */

static _Atomic uint32_t users_done;

/* Until the handle is bad; nothing else may go wrong. */
static void over(SaAisErrorT error)
{
    wrong += error != SA_AIS_ERR_BAD_HANDLE;
    users_done++;
}

static void *use_write(void *context)
{
    SaAisErrorT error;
    (void)context;
    while ((error = write_at(shared, "s", 0, "victim", 6)) == SA_AIS_OK)
        calls++;
    over(error);
    return NULL;
}

static void *use_read(void *context)
{
    SaAisErrorT error;
    char data[6];
    SaSizeT n = 6;
    (void)context;
    while ((error = read_at(shared, "s", 0, data, &n)) == SA_AIS_OK) {
        wrong += n != 6 || memcmp(data, "victim", 6) != 0;
        n = 6;
        calls++;
    }
    over(error);
    return NULL;
}

static void *use_iteration(void *context)
{
    SaAisErrorT error = SA_AIS_OK;
    SaCkptSectionIterationHandleT i;
    SaCkptSectionDescriptorT s;
    (void)context;
    while (error == SA_AIS_OK) {
        error = saCkptSectionIterationInitialize(shared, 5, 0, &i);
        while (error == SA_AIS_OK)
            error = saCkptSectionIterationNext(i, &s);
        if (error == SA_AIS_ERR_NO_SECTIONS)
            error = saCkptSectionIterationFinalize(i);
        calls++;
    }
    over(error);
    return NULL;
}

static void *use_async(void *context)
{
    SaAisErrorT error;
    (void)context;
    while ((error = saCkptCheckpointSynchronizeAsync(shared, 1)) == SA_AIS_OK) {
        calls++;
        pause_us(100);
    }
    over(error);
    return NULL;
}

static void *use_close(void *context)
{
    (void)context;
    SaAisErrorT error = saCkptCheckpointClose(shared);
    wrong += error != SA_AIS_OK && error != SA_AIS_ERR_BAD_HANDLE;
    users_done++;
    return NULL;
}

enum { USERS = 5, ROUNDS = 150 };

static void *(*const uses[USERS])(void *) = {use_write, use_read, use_iteration,
                                             use_async, use_write};

static void victim(const char *name)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA;
    shared = open_with(name, a);
    IS(create_text(shared, "s", "victim"), OK);
}

static void wait_users(const pthread_t t[USERS])
{
    EVENTUALLY(users_done == USERS);
    if (users_done < USERS)
        abort(); /* one waits for ever: nothing can be taken back */
    for (int i = 0; i < USERS; i++)
        pthread_join(t[i], NULL);
}

/* Its number at the daemon goes to another checkpoint at once, of which nobody
 * reads or writes anything. */
static void test_close_in_use(void)
{
    pthread_t t[USERS];
    unsigned seed = 1;
    begin();
    wrong = calls = 0;
    for (int round = 0; round < ROUNDS; round++) {
        victim("victim");
        users_done = 0;
        for (int i = 0; i < USERS; i++)
            pthread_create(&t[i], NULL, uses[i], NULL);
        pause_us((uint32_t)rand_r(&seed) % 2000);
        IS(saCkptCheckpointClose(shared), OK);
        SaCkptCheckpointHandleT other = open_one("other");
        IS(create_text(other, "s", "other!"), OK);
        wait_users(t);
        IS(saCkptCheckpointClose(shared), ERR_BAD_HANDLE);
        CU_ASSERT_TRUE(holds_text(other, "s", "other!"));
        IS(saCkptCheckpointClose(other), OK);
        IS(saCkptDispatch(h, SA_DISPATCH_ALL), OK);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(calls > ROUNDS);
    CU_ASSERT_EQUAL(seen.opens, 0);
    end();
}

/* Two close it, in the midst of use. */
static void test_close_twice(void)
{
    void *(*const run[USERS])(void *) = {use_close, use_close, use_read,
                                         use_write, use_iteration};
    pthread_t t[USERS];
    begin();
    wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        victim("victim");
        users_done = 0;
        for (int i = USERS; i-- > 0;)
            pthread_create(&t[i], NULL, run[i], NULL);
        wait_users(t);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    end();
}

static void finalize_in_use(bool hold)
{
    pthread_t t[USERS], dispatchers[2];
    unsigned seed = 2;
    begin();
    wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        SaCkptHandleT mine = h;
        h = open_handle(&callbacks);
        victim("victim");
        users_done = 0;
        SaCkptHandleT handle = h;
        for (int i = 0; i < 2; i++)
            pthread_create(&dispatchers[i], NULL, dispatch_blocking, &handle);
        if (hold)
            hold_order(); /* requests wait for what does not come */
        for (int i = 0; i < USERS; i++)
            pthread_create(&t[i], NULL, uses[i], NULL);
        pause_us((uint32_t)rand_r(&seed) % 2000);
        IS(saCkptFinalize(h), OK);
        IS(saCkptFinalize(h), ERR_BAD_HANDLE);
        wait_users(t);
        for (int i = 0; i < 2; i++)
            pthread_join(dispatchers[i], NULL);
        d.hold = false;
        h = mine;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    end();
}

static void test_finalize_in_use(void)
{
    finalize_in_use(false);
}

static void test_finalize_waiting(void)
{
    finalize_in_use(true);
}

static void finalize_here(void)
{
    seen.inside = NULL;
    IS(saCkptFinalize(h), OK);
}

static void test_finalize_in_callback(void)
{
    pthread_t t[USERS];
    begin();
    wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        SaCkptHandleT mine = h;
        h = open_handle(&callbacks);
        victim("victim");
        users_done = 0;
        seen.inside = finalize_here;
        for (int i = 0; i < USERS; i++)
            pthread_create(&t[i], NULL, uses[i], NULL);
        IS(saCkptDispatch(h, SA_DISPATCH_BLOCKING), OK);
        wait_users(t);
        IS(saCkptFinalize(h), ERR_BAD_HANDLE);
        h = mine;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    end();
}

/* --- many handles --------------------------------------------------------- */

static void test_handles_max(void)
{
    static SaCkptCheckpointHandleT all[HANDLES_MAX];
    SaCkptCheckpointHandleT one;
    SaCkptSectionIterationHandleT i;
    uint32_t n = 0;
    begin();
    all[n++] = open_one("n");
    while (n < HANDLES_MAX && try_open("n", NULL, READ, &all[n]) == SA_AIS_OK)
        n++;
    CU_ASSERT_EQUAL(n, HANDLES_MAX - 1); /* and the instance's */
    IS(try_open("n", NULL, READ, &one), ERR_NO_RESOURCES);
    IS(saCkptSectionIterationInitialize(all[0], 5, 0, &i), ERR_NO_RESOURCES);
    SaNameT name = name_of("n");
    IS(saCkptCheckpointOpenAsync(h, 1, &name, NULL, READ), OK);
    gather(h, 1);
    CU_ASSERT(seen.error == SA_AIS_ERR_NO_RESOURCES && seen.handle == 0);
    IS(saCkptCheckpointClose(all[--n]), OK);
    IS(try_open("n", NULL, READ, &all[n]), OK);
    n++;
    while (n > 0)
        IS(saCkptCheckpointClose(all[--n]), OK);
    /* Those that found no handle were closed again: retention is 0. */
    IS(try_open("n", NULL, READ, &one), ERR_NOT_EXIST);
    end();
}

/* An iteration ends with its checkpoint, and with the instance: else there
 * would soon be no handles left. */
static void test_handles_end(void)
{
    enum { MANY = HANDLES_MAX * 3 / 4 };
    SaCkptSectionIterationHandleT i;
    begin();
    for (int round = 0; round < 4; round++) {
        SaCkptCheckpointHandleT ck = open_one("n");
        for (int n = 0; n < MANY; n++)
            IS(saCkptSectionIterationInitialize(ck, 5, 0, &i), OK);
        if (round % 2 == 0) {
            IS(saCkptCheckpointClose(ck), OK);
        } else {
            IS(saCkptFinalize(h), OK);
            h = open_handle(&callbacks);
        }
    }
    end();
}

/* --- given up ------------------------------------------------------------- */

static void test_late_open(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaNameT name = name_of("late"), other = name_of("other");
    SaCkptCheckpointHandleT ck = 0;
    begin();
    SaCkptCheckpointHandleT keeps = open_one("keeps");
    hold_order();
    for (int i = 0; i < 5; i++)
        IS(saCkptCheckpointOpen(h, &name, &a, ALL, SA_TIME_ONE_MILLISECOND,
                                &ck),
           ERR_TIMEOUT);
    IS(saCkptCheckpointOpen(h, &other, NULL, READ, SA_TIME_ONE_MILLISECOND,
                            &ck),
       ERR_TIMEOUT); /* it will not have been opened */
    CU_ASSERT_EQUAL(ck, 0);
    d.hold = false;
    /* Each call gets its own answer; the five are closed again. */
    IS(create_text(keeps, "s", "text"), OK);
    CU_ASSERT_TRUE(holds_text(keeps, "s", "text"));
    IS(create_text(keeps, "s", "text"), ERR_EXIST);
    IS(try_open("late", NULL, READ, &ck), ERR_NOT_EXIST);
    end();
}

/* By a program that asks nothing more, but dispatches. */
static void test_late_dispatch(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaNameT name = name_of("late");
    SaCkptCheckpointHandleT ck = 0;
    begin();
    SaCkptHandleT watcher = open_handle(NULL), mine = h;
    hold_order();
    IS(saCkptCheckpointOpen(h, &name, &a, ALL, SA_TIME_ONE_MILLISECOND, &ck),
       ERR_TIMEOUT);
    d.hold = false;
    h = watcher;
    EVENTUALLY(exists("late")); /* the late one keeps it */
    pause_ms(50);
    CU_ASSERT_TRUE(exists("late"));
    IS(saCkptDispatch(mine, SA_DISPATCH_ALL), OK);
    EVENTUALLY(!exists("late"));
    IS(saCkptFinalize(watcher), OK);
    h = mine;
    end();
}

/* As many as there may be; then the daemon is not asked any more. */
static void test_late_max(void)
{
    SaCkptCheckpointCreationAttributesT a = attributes();
    SaAisErrorT error = SA_AIS_ERR_TIMEOUT;
    int n = -1;
    begin();
    a.creationFlags = SA_CKPT_WR_ACTIVE_REPLICA;
    SaCkptCheckpointHandleT ck = open_with("n", a);
    hold_order();
    for (; n < 100 && error == SA_AIS_ERR_TIMEOUT; n++)
        error = saCkptCheckpointSynchronize(ck, SA_TIME_ONE_MILLISECOND);
    CU_ASSERT_EQUAL(error, SA_AIS_ERR_TRY_AGAIN);
    CU_ASSERT_EQUAL(n, CONN_OWED_MAX);
    IS(create_text(ck, "s", "x"), ERR_TRY_AGAIN);
    IS(saCkptCheckpointClose(ck), ERR_TRY_AGAIN); /* and it stays open */
    d.hold = false;
    EVENTUALLY(saCkptCheckpointSynchronize(ck, WAIT) == SA_AIS_OK);
    IS(create_text(ck, "s", "x"), OK);
    IS(saCkptCheckpointClose(ck), OK);
    end();
}

static void *open_long(void *context)
{
    SaCkptCheckpointHandleT ck = 0;
    *(SaAisErrorT *)context = try_open("n", NULL, READ, &ck);
    users_done++;
    return NULL;
}

/* One waits long; the limit of another counts while it waits for its turn. */
static void test_limit_of_another(void)
{
    SaAisErrorT result = 0;
    SaCkptCheckpointHandleT ck = 0;
    SaNameT name = name_of("n");
    pthread_t t;
    begin();
    open_one("n");
    hold_order();
    users_done = 0;
    pthread_create(&t, NULL, open_long, &result);
    pause_ms(50);
    uint64_t before = mono_ms();
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, 50 * SA_TIME_ONE_MILLISECOND,
                            &ck),
       ERR_TIMEOUT);
    CU_ASSERT(mono_ms() - before >= 50 && mono_ms() - before < 5000);
    CU_ASSERT_EQUAL(users_done, 0);
    d.hold = false;
    pthread_join(t, NULL);
    CU_ASSERT_EQUAL(result, SA_AIS_OK);
    end();
}

/* --- a daemon that stands still ------------------------------------------- */

static pid_t fork_server(int *tell)
{
    int pair[2];
    char byte;
    CU_ASSERT_FATAL(pipe(pair) == 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[1]);
        begin_small();
        ssize_t n = read(pair[0], &byte, 1); /* until the parent closes it */
        stop();
        _exit(n == 0 ? 0 : 1);
    }
    close(pair[0]);
    *tell = pair[1];
    return pid;
}

static void *go_on_soon(void *pid)
{
    pause_ms(200);
    kill(*(pid_t *)pid, SIGCONT);
    return NULL;
}

static void test_stopped(void)
{
    pthread_t thread;
    SaCkptCheckpointDescriptorT status;
    SaCkptCheckpointHandleT other;
    SaNameT name = name_of("n");
    uint8_t *data = malloc(LARGE), *got = malloc(LARGE);
    SaSizeT n = LARGE;
    int tell, exit_status = -1;
    pid_t pid = fork_server(&tell);
    h = open_handle(&callbacks);
    SaCkptCheckpointCreationAttributesT a = attributes();
    a.maxSectionSize = a.checkpointSize = LARGE;
    SaCkptCheckpointHandleT ck = open_with("n", a);
    for (int i = 0; i < LARGE; i++)
        data[i] = (uint8_t)(i * 5 + i / 200);
    IS(create(ck, "s", SA_TIME_END, "", 0), OK);
    for (uint32_t at = 0; at < LARGE; at += 10000)
        IS(write_at(ck, "s", at, data + at, 10000), OK);
    kill(pid, SIGSTOP);
    CU_ASSERT_EQUAL(waitpid(pid, &exit_status, WUNTRACED), pid);
    uint64_t before = mono_ms();
    IS(read_at(ck, "s", 0, got, &n), ERR_TRY_AGAIN);
    CU_ASSERT(mono_ms() - before >= 9900 && mono_ms() - before < 30000);
    IS(saCkptCheckpointOpen(h, &name, NULL, READ, 100 * SA_TIME_ONE_MILLISECOND,
                            &other),
       ERR_TIMEOUT);
    /* Its answer comes behind that of the read, for both of which there is no
     * room at a time. */
    CU_ASSERT(pthread_create(&thread, NULL, go_on_soon, &pid) == 0);
    IS(saCkptCheckpointStatusGet(ck, &status), OK);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(status.numberOfSections, 1);
    n = LARGE;
    IS(read_at(ck, "s", 0, got, &n), OK);
    CU_ASSERT(n == LARGE && memcmp(got, data, LARGE) == 0);
    IS(unlink_one("n"), OK);
    IS(saCkptFinalize(h), OK);
    close(tell);
    waitpid(pid, &exit_status, 0);
    CU_ASSERT_EQUAL(exit_status, 0);
    free(data);
    free(got);
}

/* --- fork ----------------------------------------------------------------- */

static SaCkptSectionIterationHandleT iteration;

static bool bad(SaAisErrorT error)
{
    return error == SA_AIS_ERR_BAD_HANDLE;
}

/* Every function; which of them went wrong, or 0. */
static int all_bad(void)
{
    SaCkptCheckpointDescriptorT status;
    SaCkptSectionDescriptorT section;
    SaCkptSectionIdT id = id_of("s");
    SaCkptCheckpointHandleT ck = shared, out;
    SaNameT name = name_of("n");
    SaSelectionObjectT fd;
    uint8_t byte[1];
    SaSizeT n = 1;
    const bool is_bad[] = {
        bad(saCkptSelectionObjectGet(h, &fd)),
        bad(saCkptDispatch(h, SA_DISPATCH_ALL)),
        bad(saCkptDispatch(h, SA_DISPATCH_BLOCKING)),
        bad(saCkptCheckpointOpen(h, &name, NULL, READ, WAIT, &out)),
        bad(saCkptCheckpointOpenAsync(h, 1, &name, NULL, READ)),
        bad(saCkptCheckpointUnlink(h, &name)),
        bad(saCkptCheckpointRetentionDurationSet(ck, 1)),
        bad(saCkptActiveReplicaSet(ck)),
        bad(saCkptCheckpointStatusGet(ck, &status)),
        bad(create_text(ck, "t", "x")),
        bad(delete_one(ck, "s")),
        bad(saCkptSectionIdFree(ck, byte)),
        bad(expire_at(ck, "s", 1)),
        bad(saCkptSectionIterationInitialize(ck, 5, 0, &out)),
        bad(saCkptSectionIterationNext(iteration, &section)),
        bad(saCkptSectionIterationFinalize(iteration)),
        bad(write_at(ck, "s", 0, "x", 1)),
        bad(saCkptSectionOverwrite(ck, &id, "x", 1)),
        bad(read_at(ck, "s", 0, byte, &n)),
        bad(saCkptIOVectorElementDataFree(ck, byte)),
        bad(saCkptCheckpointSynchronize(ck, WAIT)),
        bad(saCkptCheckpointSynchronizeAsync(ck, 1)),
        bad(saCkptCheckpointClose(ck)),
        bad(saCkptFinalize(h))};
    for (int i = 0; i < (int)(sizeof is_bad / sizeof *is_bad); i++)
        if (!is_bad[i])
            return i + 1;
    return 0;
}

static void child(void)
{
    alarm(30); /* instead of waiting for ever */
    int which = all_bad();
    if (which != 0)
        _exit(which);
    SaCkptHandleT parents = h, mine = open_handle(&callbacks);
    if (all_bad() != 0)
        _exit(51);
    h = mine;
    SaCkptCheckpointHandleT ck = open_one("child");
    if (create_text(ck, "s", "mine") != SA_AIS_OK ||
        !holds_text(ck, "s", "mine") || saCkptFinalize(mine) != SA_AIS_OK)
        _exit(52);
    h = parents;
    _exit(CU_get_number_of_failures() == 0 ? 0 : 53);
}

static void begin_fork(void)
{
    begin();
    victim("n");
    IS(saCkptSectionIterationInitialize(shared, 5, 0, &iteration), OK);
}

/* What the parent has is not disturbed. */
static void end_fork(void)
{
    SaCkptSectionDescriptorT section;
    SaNameT name = name_of("n");
    CU_ASSERT_TRUE(holds_text(shared, "s", "victim"));
    IS(saCkptSectionIterationNext(iteration, &section), OK);
    IS(saCkptCheckpointOpenAsync(h, 1, &name, NULL, READ), OK);
    gather(h, seen.opens + 1);
    CU_ASSERT_EQUAL(seen.error, SA_AIS_OK);
    IS(saCkptCheckpointClose(shared), OK);
    end();
}

static void test_fork(void)
{
    begin_fork();
    for (int i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(in_child(child), 0);
    end_fork();
}

static void test_fork_among_threads(void)
{
    pthread_t t[2];
#if defined(__SANITIZE_THREAD__)
    printf("\nSKIP fork among threads: ThreadSanitizer's own locks may be held "
           "by a thread that the child does not have\n");
    return;
#endif
    begin_fork();
    SaCkptCheckpointHandleT first = shared;
    stop_all = false;
    wrong = calls = 0;
    IS(create(shared, "large", SA_TIME_END, "", 0), OK);
    pthread_create(&t[0], NULL, iterate_always, NULL);
    pthread_create(&t[1], NULL, own_section, (void *)1);
    for (int i = 0; i < 30; i++)
        CU_ASSERT_EQUAL(in_child(child), 0);
    stop_all = true;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    CU_ASSERT(wrong == 0 && calls > 0);
    shared = first;
    end_fork();
}

static pid_t forked;

static void fork_here(void)
{
    fflush(NULL);
    forked = fork();
}

/* The child returns from a dispatch that is not its own. */
static void test_fork_in_callback(void)
{
    SaNameT name = name_of("n");
    int status = -1;
    begin_fork();
    for (int i = 0; i < 10; i++) {
        for (SaInvocationT k = 0; k < 3; k++)
            IS(saCkptCheckpointOpenAsync(h, k, &name, NULL, READ), OK);
        IS(unlink_one("nobody"), ERR_NOT_EXIST); /* all have come */
        seen.inside = fork_here;
        forked = -1;
        IS(saCkptDispatch(h, SA_DISPATCH_ONE), OK);
        seen.inside = NULL;
        if (forked == 0)
            child();
        CU_ASSERT(forked > 0);
        CU_ASSERT_EQUAL(waitpid(forked, &status, 0), forked);
        CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        IS(saCkptDispatch(h, SA_DISPATCH_ALL), OK);
        CU_ASSERT_EQUAL(seen.opens, 3 * (i + 1));
    }
    end_fork();
}

static const struct unit_test tests[] = {
    {"all at once", test_all_at_once},
    {"a section that shrinks while it is read", test_shrinking},
    {"close in use", test_close_in_use},
    {"close twice, in use", test_close_twice},
    {"finalize in use", test_finalize_in_use},
    {"finalize while requests wait", test_finalize_waiting},
    {"finalize in a callback, in use", test_finalize_in_callback},
    {"as many handles as there may be", test_handles_max},
    {"handles end with what they came from", test_handles_end},
    {"opens that were given up", test_late_open},
    {"the same, then only dispatches", test_late_dispatch},
    {"as many late replies as there may be", test_late_max},
    {"a limit while another waits", test_limit_of_another},
    {"a daemon that stands still", test_stopped},
    {"fork", test_fork},
    {"fork among threads", test_fork_among_threads},
    {"fork in a callback", test_fork_in_callback},
};
FAKE_MAIN("ckpt threads", tests)
