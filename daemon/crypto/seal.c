// SPDX-License-Identifier: BSD-3-Clause
/* seal.c - the sealed packet, and the handshake that verifies a sender.
 *
 * The argument why a recording changes nothing is in doc/wire.md; the rules it
 * rests on are marked "Rule n" there and here. */
#include "daemon/crypto/seal.h"

#include "daemon/base/check.h"
#include "daemon/crypto/session.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAGIC_ALL = 0xA1,
    MAGIC_ONE = 0xA2, /* for one node */
    VERSION = 3,
    HEADER_SIZE = 24,
    AAD_SIZE_MAX = HEADER_SIZE + 8 + 4,
    COOKIE_SIZE = 16,
    KIND_FIRST = SEAL_KIND_HANDSHAKE,
    KIND_HELLO = KIND_FIRST,
    KIND_CHALLENGE,
    KIND_RESPONSE,
    FLAG_CHALLENGE = 1, /* the challenge's fields are filled */
    HANDSHAKE_PLAIN_SIZE = 52,
    ANSWERS_PER_PERIOD = 8,
    OPENED_PER_PERIOD = 8
};

static_assert(HEADER_SIZE + AEAD_TAG_SIZE == SEAL_OVERHEAD, "seal.h");
static_assert(HANDSHAKE_PLAIN_SIZE + SEAL_OVERHEAD <= SEAL_HANDSHAKE_SIZE_MAX,
              "seal.h");

static const uint64_t period_ns = 10000000;         /* of challenges, answers */
static const uint64_t cookie_renew_ns = 1000000000; /* a newer one is sent */
static const uint64_t cookie_end_ns = 2000000000;   /* refused from then on */
static const uint64_t silent_ns = 10000000000; /* then to be verified again */

/* At most `burst` in a row, and one in `every_ns` on average. 128 nodes that
 * start together need a burst of half a thousand. */
struct pace {
    uint64_t every_ns;
    uint32_t burst;
};

/* What unverified senders may cost: keys to derive, and replies. */
static const struct pace derive_pace = {50000, 500};
static const struct pace reply_pace = {500000, 1000};

struct handshake {
    uint8_t kind, flags;
    uint32_t node_id;
    uint8_t salt[SEAL_SALT_SIZE];   /* that is challenged */
    uint8_t challenge[COOKIE_SIZE]; /* to be echoed */
    uint8_t response[COOKIE_SIZE];  /* the echo */
};

struct seal {
    uint32_t node_id;
    uint16_t key_id;
    struct kdf packet_kdf, cookie_kdf;
    uint64_t source; /* own */
    uint8_t salt[SEAL_SALT_SIZE];
    uint64_t counter; /* of the last packet sealed */
    uint64_t generation_last;
    uint64_t derive_ns, reply_ns; /* all that was allowed is paid for by then */
    struct aead_suite suite;
    struct aead sealing;
    struct session_table sessions;
    uint64_t conflicts;
    uint32_t conflict_node;
    uint64_t counts[SEAL_RESULT_COUNT];
};

static struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){p, n};
}

static struct bytes text_of(const char *text)
{
    return bytes_of(text, strlen(text));
}

/* --- life ----------------------------------------------------------------- */

static const char *cipher_name(enum seal_cipher cipher)
{
    switch (cipher) {
    case SEAL_AES_256_GCM:
        return "AES-256-GCM";
    case SEAL_CHACHA20_POLY1305:
        return "ChaCha20-Poly1305";
    }
    return NULL;
}

/* Tells keys apart without helping to guess them; another cipher with the same
 * key counts as another key. */
static bool key_id_derive(struct seal *s)
{
    uint8_t id[2], info[KDF_INFO_MAX];
    struct writer w = writer_of(info, sizeof info);
    write_bytes(&w, text_of("key id "));
    write_bytes(&w, text_of(s->suite.name));
    CHECK(!w.failed);
    if (!kdf_expand(&s->packet_kdf, bytes_of(info, w.written), id, sizeof id))
        return false;
    s->key_id = (uint16_t)(id[0] | id[1] << 8);
    return true;
}

static bool cookie_kdf_init(struct kdf *k, const struct seal_secrets *secrets)
{
    return kdf_init(k, text_of("openais cookie 3"),
                    bytes_of(secrets->cookie_key, sizeof secrets->cookie_key));
}

static bool salt_take(struct seal *s, const struct seal_secrets *secrets)
{
    if (!aead_key(&s->sealing, &s->suite, &s->packet_kdf,
                  bytes_of(secrets->salt, sizeof secrets->salt)))
        return false;
    memcpy(s->salt, secrets->salt, sizeof s->salt);
    s->counter = 0;
    return true;
}

struct seal *seal_new(const struct seal_config *config)
{
    CHECK(config->node_id != 0 && config->node_max > 0);
    const char *name = cipher_name(config->cipher);
    CHECK(name != NULL);
    struct seal *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->node_id = config->node_id;
    s->source = config->source;
    if (aead_suite_init(&s->suite, name) &&
        kdf_init(&s->packet_kdf, text_of("openais packet 3"),
                 bytes_of(config->key, SEAL_KEY_SIZE)) &&
        cookie_kdf_init(&s->cookie_kdf, &config->secrets) && key_id_derive(s) &&
        aead_init(&s->sealing, &s->suite, true) &&
        salt_take(s, &config->secrets) &&
        session_table_init(&s->sessions, &s->suite, config->node_max))
        return s;
    seal_free(s);
    return NULL;
}

void seal_move(struct seal *s, uint64_t source)
{
    s->source = source;
}

bool seal_renew(struct seal *s, const struct seal_secrets *secrets)
{
    struct kdf cookie_kdf;
    if (!cookie_kdf_init(&cookie_kdf, secrets) || !salt_take(s, secrets)) {
        kdf_deinit(&cookie_kdf);
        return false;
    }
    kdf_deinit(&s->cookie_kdf);
    s->cookie_kdf = cookie_kdf;
    session_drop_all(&s->sessions);
    return true;
}

void seal_free(struct seal *s)
{
    if (s == NULL)
        return;
    session_table_deinit(&s->sessions);
    aead_deinit(&s->sealing);
    kdf_deinit(&s->packet_kdf);
    kdf_deinit(&s->cookie_kdf);
    aead_suite_deinit(&s->suite);
    explicit_bzero(s, sizeof *s);
    free(s);
}

/* --- sealing -------------------------------------------------------------- */

/* What the tag covers before the ciphertext: the header; where the packet comes
 * from, so that nobody can hand it on from an address of his own; and for a
 * packet to one node that node's id. The last two are not sent. */
static struct bytes aad_make(const uint8_t *header, uint64_t source,
                             uint32_t node_id, uint8_t aad[AAD_SIZE_MAX])
{
    struct writer w = writer_of(aad, AAD_SIZE_MAX);
    write_bytes(&w, bytes_of(header, HEADER_SIZE));
    write_u64(&w, source);
    if (header[0] == MAGIC_ONE)
        write_u32(&w, node_id);
    CHECK(!w.failed);
    return bytes_of(aad, w.written);
}

/* `to`: a node's id, or 0 for all. */
static size_t seal_any(struct seal *s, uint32_t to, struct bytes plain,
                       uint8_t *out)
{
    uint8_t aad[AAD_SIZE_MAX];
    struct writer w = writer_of(out, HEADER_SIZE);
    /* At the end of the counter's range a nonce would repeat. */
    CHECK(s->counter < UINT64_MAX - 1);
    s->counter++;
    write_u8(&w, to == 0 ? MAGIC_ALL : MAGIC_ONE);
    write_u8(&w, VERSION);
    write_u16(&w, s->key_id);
    write_bytes(&w, bytes_of(s->salt, sizeof s->salt));
    write_u64(&w, s->counter);
    CHECK(!w.failed && w.left == 0);
    aead_seal(&s->sealing, s->counter, aad_make(out, s->source, to, aad), plain,
              out + HEADER_SIZE);
    return plain.n + SEAL_OVERHEAD;
}

size_t seal_packet(struct seal *s, struct bytes plain, uint8_t *out)
{
    CHECK(plain.n > 0 && plain.p[0] < SEAL_KIND_HANDSHAKE);
    return seal_any(s, 0, plain, out);
}

size_t seal_packet_to(struct seal *s, uint32_t node_id, struct bytes plain,
                      uint8_t *out)
{
    CHECK(plain.n > 0 && plain.p[0] < SEAL_KIND_HANDSHAKE);
    CHECK(node_id != 0);
    return seal_any(s, node_id, plain, out);
}

static size_t handshake_seal(struct seal *s, const struct handshake *h,
                             uint8_t *out)
{
    uint8_t plain[HANDSHAKE_PLAIN_SIZE];
    struct writer w = writer_of(plain, sizeof plain);
    write_u8(&w, h->kind);
    write_u8(&w, h->flags);
    write_u16(&w, 0);
    write_u32(&w, s->node_id);
    write_bytes(&w, bytes_of(h->salt, sizeof h->salt));
    write_bytes(&w, bytes_of(h->challenge, sizeof h->challenge));
    write_bytes(&w, bytes_of(h->response, sizeof h->response));
    CHECK(!w.failed && w.left == 0);
    return seal_any(s, 0, bytes_of(plain, sizeof plain), out);
}

size_t seal_hello(struct seal *s, uint8_t out[SEAL_HANDSHAKE_SIZE_MAX])
{
    struct handshake h = {.kind = KIND_HELLO};
    return handshake_seal(s, &h, out);
}

/* --- what strangers may cost ---------------------------------------------- */

/* One more? `paid_ns` is when the average has caught up with what was allowed.
 */
static bool pace_allows(const struct pace *p, uint64_t *paid_ns,
                        uint64_t now_ns)
{
    uint64_t from = *paid_ns > now_ns ? *paid_ns : now_ns;
    if (from - now_ns >= p->every_ns * p->burst)
        return false;
    *paid_ns = from + p->every_ns;
    return true;
}

static bool challenge_due(const struct session *peer, uint64_t now_ns)
{
    return !peer->challenged || now_ns - peer->challenge_ns >= period_ns;
}

/* Rule 7: is a packet of an unverified session worth a look? One of any size
 * can only bring about a challenge; a handshake's may be the answer. */
static bool worth_a_look(struct session *peer, size_t size, uint64_t now_ns)
{
    if (size != HANDSHAKE_PLAIN_SIZE + SEAL_OVERHEAD)
        return challenge_due(peer, now_ns);
    if (peer->opened == 0 || now_ns - peer->open_ns >= period_ns) {
        peer->open_ns = now_ns;
        peer->opened = 0;
    }
    if (peer->opened == OPENED_PER_PERIOD)
        return false;
    peer->opened++;
    return true;
}

/* --- challenges ----------------------------------------------------------- */

/* Rule 3: a cookie is bound to the salt it challenges and to a generation
 * that this process uses once, so that it answers this challenge alone. */
static bool cookie_make(const struct seal *s, const struct session *peer,
                        uint8_t cookie[COOKIE_SIZE])
{
    uint8_t info[sizeof peer->salt + sizeof peer->generation];
    struct writer w = writer_of(info, sizeof info);
    write_bytes(&w, bytes_of(peer->salt, sizeof peer->salt));
    write_u64(&w, peer->generation);
    CHECK(!w.failed && w.left == 0);
    return kdf_expand(&s->cookie_kdf, bytes_of(info, sizeof info), cookie,
                      COOKIE_SIZE);
}

static bool challenge_fill(struct seal *s, struct session *peer,
                           uint64_t now_ns, struct handshake *h)
{
    if (peer->generation == 0 ||
        now_ns - peer->generation_ns >= cookie_renew_ns) {
        peer->generation = ++s->generation_last;
        peer->generation_ns = now_ns;
    }
    if (!cookie_make(s, peer, h->challenge))
        return false;
    h->flags |= FLAG_CHALLENGE;
    memcpy(h->salt, peer->salt, sizeof h->salt);
    peer->challenged = true;
    peer->challenge_ns = now_ns;
    return true;
}

static void challenge_send(struct seal *s, struct session *peer,
                           uint64_t now_ns, struct seal_opened *opened)
{
    struct handshake h = {.kind = KIND_CHALLENGE};
    if (!challenge_due(peer, now_ns) ||
        !pace_allows(&reply_pace, &s->reply_ns, now_ns))
        return;
    if (challenge_fill(s, peer, now_ns, &h))
        opened->reply_size = handshake_seal(s, &h, opened->reply);
}

/* A few, not one: an old challenge of the same session, played back while the
 * true one comes, must not use up the only answer. */
static bool answer_allowed(struct session *peer, uint64_t now_ns)
{
    if (peer->answers == 0 || now_ns - peer->answer_ns >= period_ns) {
        peer->answer_ns = now_ns;
        peer->answers = 0;
    }
    if (peer->answers == ANSWERS_PER_PERIOD)
        return false;
    peer->answers++;
    return true;
}

/* Only a CHALLENGE is answered with a challenge of our own in the answer: a
 * RESPONSE that carries one is answered plainly, so that it ends there. */
static void answer_send(struct seal *s, struct session *peer,
                        const struct handshake *to, uint64_t now_ns,
                        struct seal_opened *opened)
{
    struct handshake h = {.kind = KIND_RESPONSE};
    if (!answer_allowed(peer, now_ns) ||
        !pace_allows(&reply_pace, &s->reply_ns, now_ns))
        return;
    memcpy(h.response, to->challenge, sizeof h.response);
    if (to->kind == KIND_CHALLENGE && peer->state != SESSION_VERIFIED)
        (void)challenge_fill(s, peer, now_ns, &h);
    opened->reply_size = handshake_seal(s, &h, opened->reply);
}

static bool response_is_right(const struct seal *s, const struct session *peer,
                              const struct handshake *h, uint64_t now_ns)
{
    uint8_t cookie[COOKIE_SIZE];
    if (h->kind != KIND_RESPONSE || peer->state == SESSION_VERIFIED ||
        peer->generation == 0 ||
        now_ns - peer->generation_ns >= cookie_end_ns ||
        !cookie_make(s, peer, cookie))
        return false;
    bool same = CRYPTO_memcmp(cookie, h->response, sizeof cookie) == 0;
    explicit_bzero(cookie, sizeof cookie);
    return same;
}

/* --- opening -------------------------------------------------------------- */

/* Decodes the whole handshake; false: it makes no sense. */
static bool handshake_read(struct bytes plain, struct handshake *h)
{
    struct reader r = reader_of(plain);
    h->kind = read_u8(&r);
    h->flags = read_u8(&r);
    uint16_t reserved = read_u16(&r);
    h->node_id = read_u32(&r);
    struct bytes salt = read_bytes(&r, sizeof h->salt);
    struct bytes challenge = read_bytes(&r, sizeof h->challenge);
    struct bytes response = read_bytes(&r, sizeof h->response);
    if (!reader_done(&r) || reserved != 0 || h->node_id == 0 ||
        h->kind > KIND_RESPONSE || (h->flags & ~FLAG_CHALLENGE) != 0)
        return false;
    if ((h->kind == KIND_HELLO && h->flags != 0) ||
        (h->kind == KIND_CHALLENGE && h->flags == 0))
        return false;
    memcpy(h->salt, salt.p, sizeof h->salt);
    memcpy(h->challenge, challenge.p, sizeof h->challenge);
    memcpy(h->response, response.p, sizeof h->response);
    return true;
}

static void conflict_note(struct seal *s, uint32_t node_id)
{
    s->conflicts++;
    s->conflict_node = node_id;
}

/* Rule 4. A session that comes back after it was replaced shows that two
 * processes with one node id are alive: a restarted one leaves no salt that
 * could answer. */
static void peer_verify(struct seal *s, struct session *peer, uint32_t node_id,
                        uint64_t counter)
{
    const struct session *before = session_find_node(&s->sessions, node_id);
    if (before != NULL && before->has_replaced &&
        memcmp(before->replaced_salt, peer->salt, SEAL_SALT_SIZE) == 0)
        conflict_note(s, node_id);
    session_verify(&s->sessions, peer, node_id, counter);
}

static enum seal_result handshake_take(struct seal *s, struct session *peer,
                                       struct bytes plain, uint64_t counter,
                                       uint64_t source, uint64_t now_ns,
                                       struct seal_opened *opened)
{
    struct handshake h;
    enum seal_result result =
        peer->state == SESSION_VERIFIED ? SEAL_HANDSHAKE : SEAL_UNVERIFIED;
    if (!handshake_read(plain, &h))
        h = (struct handshake){.kind = KIND_HELLO}; /* says only "I am here" */
    if (response_is_right(s, peer, &h, now_ns)) {
        if (h.node_id == s->node_id) {
            conflict_note(s, h.node_id);
            return SEAL_HANDSHAKE;
        }
        peer_verify(s, peer, h.node_id, counter);
        peer->source = source;
        peer->heard_ns = now_ns;
        opened->node_id = h.node_id;
        result = SEAL_VERIFIED;
    }
    /* Rule 5: nobody is told that he owns a salt but the present owner. */
    bool challenged = (h.flags & FLAG_CHALLENGE) != 0 &&
                      memcmp(h.salt, s->salt, sizeof h.salt) == 0;
    if (challenged)
        answer_send(s, peer, &h, now_ns, opened);
    else if (result == SEAL_UNVERIFIED)
        challenge_send(s, peer, now_ns, opened);
    return result;
}

struct header {
    uint8_t salt[SEAL_SALT_SIZE];
    uint64_t counter;
};

/* SEAL_OK: worth a look behind the header. */
static enum seal_result header_read(const struct seal *s, struct bytes datagram,
                                    struct header *h)
{
    struct reader r = reader_of(datagram);
    uint8_t magic = read_u8(&r);
    if (datagram.n <= SEAL_OVERHEAD ||
        (magic != MAGIC_ALL && magic != MAGIC_ONE))
        return SEAL_FOREIGN;
    if (read_u8(&r) != VERSION)
        return SEAL_VERSION;
    if (read_u16(&r) != s->key_id)
        return SEAL_OTHER_KEY;
    memcpy(h->salt, read_bytes(&r, sizeof h->salt).p, sizeof h->salt);
    h->counter = read_u64(&r);
    if (memcmp(h->salt, s->salt, sizeof h->salt) == 0)
        return SEAL_OWN;
    return SEAL_OK;
}

/* The session whose key opens the packet: known, or new and then unverified.
 * NULL: none does. A salt gets into the table only with a right tag. */
static struct session *session_open(struct seal *s, const struct header *h,
                                    struct session *known,
                                    struct bytes datagram, uint64_t source,
                                    uint8_t *plain)
{
    struct session *peer =
        known != NULL ? known : session_candidate(&s->sessions);
    uint8_t aad[AAD_SIZE_MAX];
    struct bytes sealed = {datagram.p + HEADER_SIZE, datagram.n - HEADER_SIZE};
    bool same =
        (known != NULL || aead_key(&peer->aead, &s->suite, &s->packet_kdf,
                                   bytes_of(h->salt, sizeof h->salt))) &&
        aead_open(&peer->aead, h->counter,
                  aad_make(datagram.p, source, s->node_id, aad), sealed, plain);
    if (known == NULL && same)
        session_adopt(&s->sessions, peer, h->salt);
    else if (known == NULL)
        aead_wipe(&peer->aead);
    return same ? peer : NULL;
}

/* SEAL_OK: the packet is worth the cost of its tag. */
static enum seal_result admit(struct seal *s, struct session *peer,
                              const struct header *h, size_t size,
                              uint64_t now_ns)
{
    if (peer == NULL)
        return pace_allows(&derive_pace, &s->derive_ns, now_ns) ? SEAL_OK
                                                                : SEAL_LIMITED;
    if (peer->state != SESSION_VERIFIED)
        return worth_a_look(peer, size, now_ns) ? SEAL_OK : SEAL_LIMITED;
    if (session_is_fresh(peer, h->counter))
        return SEAL_OK;
    peer->replays++;
    return SEAL_REPLAY;
}

/* The source is under the tag; that of the newest packet is the present one. */
static void heard(struct session *peer, uint64_t counter, uint64_t source,
                  uint64_t now_ns, struct seal_opened *opened)
{
    opened->moved = counter > peer->highest && source != peer->source;
    if (opened->moved) {
        peer->source = source;
        opened->node_id = peer->node_id;
    }
    peer->heard_ns = now_ns;
    session_mark(peer, counter);
}

static enum seal_result datagram_open(struct seal *s, struct bytes datagram,
                                      uint64_t source, uint64_t now_ns,
                                      uint8_t *plain,
                                      struct seal_opened *opened)
{
    struct header h;
    enum seal_result result = header_read(s, datagram, &h);
    if (result != SEAL_OK)
        return result;
    struct session *peer = session_find(&s->sessions, h.salt);
    result = admit(s, peer, &h, datagram.n, now_ns);
    if (result != SEAL_OK)
        return result;
    peer = session_open(s, &h, peer, datagram, source, plain);
    if (peer == NULL)
        return SEAL_BAD_DIGEST;
    session_touch(&s->sessions, peer);
    bool verified = peer->state == SESSION_VERIFIED;
    if (verified)
        heard(peer, h.counter, source, now_ns, opened);
    size_t size = datagram.n - SEAL_OVERHEAD;
    if (plain[0] >= SEAL_KIND_HANDSHAKE)
        return handshake_take(s, peer, bytes_of(plain, size), h.counter, source,
                              now_ns, opened);
    if (!verified) {
        challenge_send(s, peer, now_ns, opened);
        return SEAL_UNVERIFIED;
    }
    opened->plain_size = size;
    opened->node_id = peer->node_id;
    return SEAL_OK;
}

enum seal_result seal_open(struct seal *s, struct bytes datagram,
                           uint64_t source, uint64_t now_ns, uint8_t *plain,
                           struct seal_opened *opened)
{
    opened->plain_size = opened->reply_size = 0;
    opened->node_id = 0;
    opened->moved = false;
    enum seal_result result =
        datagram_open(s, datagram, source, now_ns, plain, opened);
    s->counts[result]++;
    return result;
}

void seal_forget_silent(struct seal *s, const uint32_t *members,
                        uint32_t member_count, uint64_t now_ns)
{
    struct session *next, *peer = s->sessions.lists[SESSION_VERIFIED].newest;
    for (; peer != NULL; peer = next) {
        bool member = false;
        next = peer->older;
        for (uint32_t i = 0; i < member_count && !member; i++)
            member = members[i] == peer->node_id;
        if (!member && now_ns - peer->heard_ns >= silent_ns)
            session_drop(&s->sessions, peer);
    }
}

/* --- figures -------------------------------------------------------------- */

const uint64_t *seal_counts(const struct seal *s)
{
    return s->counts;
}

uint64_t seal_conflicts(const struct seal *s, uint32_t *node_id)
{
    *node_id = s->conflict_node;
    return s->conflicts;
}

uint64_t seal_replays(struct seal *s, uint32_t *node_id)
{
    uint64_t most = 0;
    for (struct session *peer = s->sessions.lists[SESSION_VERIFIED].newest;
         peer != NULL; peer = peer->older) {
        if (peer->replays > most) {
            most = peer->replays;
            *node_id = peer->node_id;
        }
        peer->replays = 0;
    }
    return most;
}

const char *seal_result_name(enum seal_result result)
{
    switch (result) {
    case SEAL_OK:
        return "ok";
    case SEAL_HANDSHAKE:
        return "handshake";
    case SEAL_VERIFIED:
        return "verified";
    case SEAL_UNVERIFIED:
        return "unverified";
    case SEAL_FOREIGN:
        return "foreign";
    case SEAL_VERSION:
        return "other version";
    case SEAL_OTHER_KEY:
        return "invalid digest (other key)";
    case SEAL_BAD_DIGEST:
        return "invalid digest";
    case SEAL_REPLAY:
        return "replay";
    case SEAL_OWN:
        return "own";
    case SEAL_LIMITED:
        return "strangers not looked at";
    case SEAL_RESULT_COUNT:
        break;
    }
    return "?";
}
