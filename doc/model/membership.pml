/* SPDX-License-Identifier: BSD-3-Clause */
/* membership.pml - how three nodes agree on a ring (daemon/totem/gather.c,
 * commit.c, recovery.c). README.md says what is left out.
 *
 * Joins: the newest of each node, and in pend[] who has not had it yet. Commit
 * token and recovery's token are one token that goes round three times: who is
 * there, shift to recovery, installation.
 *
 * Time is only this. A timer runs out when nothing is under way that concerns
 * its node: no join, no token of a ring that the node is to belong to; other
 * nodes' tokens may take as long as they like. And a join is not slower than a
 * ring's whole forming: none is installed while one is under way.
 *
 * FAULTS times something else happens: a join or token is lost, or a token
 * doubled, to come again at any later time or never; a timer runs out too
 * early; a node crashes, for good or to come back, with its ring sequence or
 * without.
 *
 * MUTANT=1  a stranger that accuses a member of a working ring is followed
 * MUTANT=2  a ring's identity lacks the nonce, its maker's incarnation */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef SEQ_MAX
#define SEQ_MAX 12 /* rings formed one after the other: more is a live-lock */
#endif
#define N 3
#define ALL 7
#define bit(i) (1 << (i))
#define has(set, i) (((set) >> (i)) & 1)
#define within(a, b) (((a) & ~(b)) == 0)
/* Two bits for each node's incarnation. */
#define inc_of(incs, i) (((incs) >> (2 * (i))) & 3)

#define DOWN 0
#define GATHER 1
#define COMMIT 2
#define RECOVERY 3
#define OPERATIONAL 4

/* An identity (sequence, representative, nonce) in one byte. */
#if MUTANT == 2
#define identity(seq, rep, inc) ((seq) << 4 | (rep) << 2)
#else
#define identity(seq, rep, inc) ((seq) << 4 | (rep) << 2 | (inc))
#endif

/* A ring in one number: identity, members, incarnations. */
#define ring_of(id, members, incs) ((id) | (members) << 8 | (incs) << 11)
#define id_of(r) ((r) & 255)
#define members_of(r) (((r) >> 8) & 7)
#define incs_of(r) ((r) >> 11)
#define seq_of(r) (((r) >> 4) & 15)
#define rep_of(r) (((r) >> 2) & 3)

typedef node_t {
    byte state, inc, seq;
    byte proc, fail, consensus;
    byte hop;                 /* of the token, when last here */
    int ring, forming;
}
typedef token_t { byte hop, at; int ring } /* hop 0: there is none */
/* A join in one number. */
#define join_of(proc, fail, seq, inc) \
    ((proc) | (fail) << 3 | (seq) << 6 | (inc) << 10)
#define proc_in(j) ((j) & 7)
#define fail_in(j) (((j) >> 3) & 7)
#define seq_in(j) (((j) >> 6) & 15)
#define inc_in(j) ((j) >> 10)

node_t node[N];
int join[N];      /* the newest of each node */
byte pend[N];     /* who has not had it yet */
token_t token[N]; /* of the ring that each node represents */
byte faults = FAULTS;
byte returning;   /* nodes that are down and will be back */

/* What was lost in the network for a while. */
int late_join; byte late_from, late_to = N;
token_t late_token;

#define live_of(i) (node[i].proc & ~node[i].fail)
#define same_ring(i, k) \
    (node[k].state == OPERATIONAL && id_of(node[k].ring) == id_of(node[i].ring))
#define forms(k, id_) ((node[k].state == COMMIT || \
    node[k].state == RECOVERY) && id_of(node[k].forming) == id_)
#define moves(id_) (token[rep_of(id_)].hop && \
    id_of(token[rep_of(id_)].ring) == id_)
#define in_ring(i, k) (same_ring(i, k) || \
    (forms(k, id_of(node[i].ring)) && moves(id_of(node[i].ring))))
#define needs(i, k) (!has(members_of(node[i].ring), k) || in_ring(i, k))
#define broken(i) (!needs(i, 0) || !needs(i, 1) || !needs(i, 2))
#define quiet (pend[0] == 0 && pend[1] == 0 && pend[2] == 0)
#define about(t, i) (token[t].hop && has(members_of(token[t].ring), i))
#define installs(t) (t.hop >= 2 * (has(members_of(t.ring), 0) + \
    has(members_of(t.ring), 1) + has(members_of(t.ring), 2)))
#define calm(i) (quiet && !about(0, i) && !about(1, i) && !about(2, i))
#define well(i) (node[i].state == DOWN || \
    (node[i].state == OPERATIONAL && members_of(node[i].ring) == up && \
    !broken(i)))
#define up ((node[0].state != DOWN) | (node[1].state != DOWN) << 1 | \
    (node[2].state != DOWN) << 2)
#define whole (well(0) && well(1) && well(2))

inline join_send(i)
{
    join[i] = join_of(node[i].proc, node[i].fail, node[i].seq, node[i].inc);
    pend[i] = up & ~bit(i)
}

inline token_clear(t) { t.hop = 0; t.at = 0; t.ring = 0 }
inline token_copy(to, from)
{
    to.hop = from.hop; to.at = from.at; to.ring = from.ring
}

/* To the next higher member, or the lowest. */
inline token_pass(t)
{
    t.hop++;
    t.at = (t.at + 1) % N;
    do
    :: !has(members_of(t.ring), t.at) -> t.at = (t.at + 1) % N
    :: else -> break
    od
}

/* What a state does not use is always the same, for fewer states. */
inline forget(i)
{
    if
    :: node[i].state == GATHER -> node[i].hop = 0; node[i].forming = 0
    :: node[i].state == OPERATIONAL || node[i].state == DOWN ->
        node[i].hop = 0; node[i].forming = 0; node[i].consensus = 0;
        node[i].proc = 0; node[i].fail = 0
    :: else -> node[i].consensus = 0
    fi
}

/* An identity names one set of members, wherever it is known. (For ever: within
 * an incarnation a representative's sequence only grows.) */
#define agrees(a, b) (id_of(a) != id_of(b) || members_of(a) == members_of(b))
#define agrees_at(r, k) (agrees(r, node[k].ring) && \
    agrees(r, node[k].forming) && agrees(r, token[k].ring))
inline one_set(r)
{
    assert(agrees_at(r, 0) && agrees_at(r, 1) && agrees_at(r, 2));
    assert(agrees(r, late_token.ring))
}

/* No node installs a ring that it is not in. */
inline install(i)
{
    assert(has(members_of(node[i].forming), i));
    one_set(node[i].forming);
    node[i].ring = node[i].forming;
    node[i].state = OPERATIONAL;
    printf("node %d: ring %d of %d, members %d\n", i, seq_of(node[i].ring),
        rep_of(node[i].ring), members_of(node[i].ring));
    forget(i)
}

/* consensus_check(), commit_begin() */
inline consensus_check(i)
{
    assert(has(live_of(i), i));
    if
    :: within(live_of(i), node[i].consensus) &&
       (live_of(i) & (bit(i) - 1)) == 0 ->
        node[i].seq++;
        assert(node[i].seq < SEQ_MAX);
        node[i].forming = ring_of(identity(node[i].seq, i, node[i].inc),
            live_of(i), node[i].inc << (2 * i));
        one_set(node[i].forming);
        printf("node %d: makes ring %d, members %d\n", i, node[i].seq,
            live_of(i));
        node[i].state = COMMIT;
        node[i].hop = 0;
        forget(i);
        if
        :: members_of(node[i].forming) == bit(i) -> install(i)
        :: else ->
            token[i].hop = 0; token[i].at = i;
            token[i].ring = node[i].forming;
            token_pass(token[i])
        fi
    :: else
    fi
}

/* enter(): among those in `who`. */
inline gather(i, who)
{
    node[i].proc = who;
    node[i].fail = 0;
    node[i].consensus = bit(i);
    node[i].state = GATHER;
    forget(i)
}

inline timer(i)
{
    printf("node %d: timer in state %d\n", i, node[i].state);
    if
    :: node[i].state == GATHER -> /* the consensus timeout */
        node[i].fail = node[i].fail | (live_of(i) & ~node[i].consensus);
        node[i].consensus = bit(i)
    :: node[i].state == OPERATIONAL -> gather(i, members_of(node[i].ring))
    :: else -> gather(i, members_of(node[i].forming))
    fi;
    join_send(i);
    consensus_check(i)
}

/* join_on(): node i hears what s sent. */
inline join_hear(i, s, j)
{
    heard = false; entered = false; changed = false;
    printf("node %d (state %d): join of %d: proc %d fail %d seq %d\n", i,
        node[i].state, s, proc_in(j), fail_in(j), seq_in(j));
    if
    :: node[i].state == DOWN
    :: node[i].state == GATHER -> heard = true
    :: node[i].state == OPERATIONAL ->
        if
        :: has(members_of(node[i].ring), s) &&
           seq_in(j) < seq_of(node[i].ring) &&
           inc_of(incs_of(node[i].ring), s) == inc_in(j)
#if MUTANT != 1
        :: !has(members_of(node[i].ring), s) &&
           (fail_in(j) & members_of(node[i].ring))
#endif
        :: else -> heard = true; entered = true;
            gather(i, (members_of(node[i].ring) | bit(s)))
        fi
    :: else ->
        if
        :: !has(members_of(node[i].forming), s)
        :: has(members_of(node[i].forming), s) &&
           seq_in(j) < seq_of(node[i].forming) &&
           ((node[i].state == COMMIT && within(proc_in(j), node[i].proc) &&
               within(fail_in(j), node[i].fail)) ||
            (node[i].state == RECOVERY &&
               inc_of(incs_of(node[i].forming), s) == inc_in(j)))
        :: else -> heard = true; entered = true;
            gather(i, (members_of(node[i].forming) | bit(s)))
        fi
    fi;
    if
    :: heard && !has(node[i].fail, s) ->
        if
        :: seq_in(j) > node[i].seq -> node[i].seq = seq_in(j)
        :: else
        fi;
        changed = !within(proc_in(j) | bit(s), node[i].proc);
        node[i].proc = node[i].proc | proc_in(j) | bit(s);
        if
        :: has(fail_in(j), i) -> node[i].fail = node[i].fail | bit(s);
            changed = true
        :: else -> changed = changed || !within(fail_in(j), node[i].fail);
            node[i].fail = node[i].fail | fail_in(j)
        fi;
        if
        :: changed -> node[i].consensus = bit(i)
        :: else
        fi;
        if
        :: changed || entered -> join_send(i)
        :: else
        fi;
        if
        :: proc_in(j) == node[i].proc && fail_in(j) == node[i].fail ->
            node[i].consensus = node[i].consensus | bit(s)
        :: else
        fi;
        consensus_check(i)
    :: else
    fi
}

/* commit_on(), recovery_visit(): the token t is at node i. */
inline token_take(i, t)
{
    size = has(members_of(t.ring), 0) + has(members_of(t.ring), 1) +
           has(members_of(t.ring), 2);
    printf("node %d (state %d): token of ring %d of %d, hop %d\n", i,
        node[i].state, seq_of(t.ring), rep_of(t.ring), t.hop);
    if
    :: node[i].state == GATHER && t.hop < size && rep_of(t.ring) != i &&
       seq_of(t.ring) > node[i].seq && live_of(i) == members_of(t.ring) ->
        t.ring = t.ring | ring_of(0, 0, node[i].inc << (2 * i));
        node[i].forming = t.ring;
        node[i].seq = seq_of(t.ring);
        node[i].state = COMMIT;
        node[i].hop = t.hop;
        forget(i);
        token_pass(t)
    :: forms(i, id_of(t.ring)) && t.hop > node[i].hop && t.hop >= size ->
        node[i].hop = t.hop;
        if
        :: node[i].state == COMMIT ->
            node[i].forming = t.ring;
            node[i].state = RECOVERY
        :: else
        fi;
        if
        :: t.hop >= 2 * size -> install(i)
        :: else
        fi;
        if
        :: t.hop == 3 * size - 1 -> token_clear(t)
        :: else -> token_pass(t)
        fi
    :: else -> token_clear(t)
    fi
}

/* A packet of another ring is heard: merge. */
#define meets(i, k) (node[i].state == OPERATIONAL && \
    node[k].state == OPERATIONAL && !has(members_of(node[i].ring), k) && \
    !has(members_of(node[k].ring), i))

inline meet(i, k)
{
    printf("node %d: meets %d\n", i, k);
    gather(i, (members_of(node[i].ring) | bit(k)));
    join_send(i)
}

/* All is forgotten but, perhaps, the ring sequence. */
inline crash(i)
{
    printf("node %d: crashes\n", i);
    faults--;
    node[i].state = DOWN;
    node[i].inc++;
    node[i].ring = 0;
    forget(i);
    if
    :: true
    :: node[i].seq = 0
    fi;
    if
    :: true
    :: returning = returning | bit(i)
    fi
}

inline boot(i)
{
    printf("node %d: starts\n", i);
    returning = returning & ~bit(i);
    gather(i, bit(i));
    join_send(i)
}

#define loses(i, s) (faults > 0 && late_to == N && has(pend[s], i))
inline lose_join(i, s)
{
    printf("node %d: join of %d is lost\n", i, s);
    faults--;
    pend[s] = pend[s] & ~bit(i);
    late_from = s; late_to = i;
    late_join = join[s]
}

inline late_join_hear(i)
{
    join_hear(i, late_from, late_join);
    late_from = 0; late_to = N; late_join = 0
}

proctype Node(byte i)
{
    byte size;
    bool heard, entered, changed;

end:
    do
    :: d_step { has(pend[0], i) -> pend[0] = pend[0] & ~bit(i);
        join_hear(i, 0, join[0]) }
    :: d_step { has(pend[1], i) -> pend[1] = pend[1] & ~bit(i);
        join_hear(i, 1, join[1]) }
    :: d_step { has(pend[2], i) -> pend[2] = pend[2] & ~bit(i);
        join_hear(i, 2, join[2]) }
    :: d_step { late_to == i -> late_join_hear(i) }
    /* The timers: consensus and the token's loss; merge detection. */
    :: d_step { calm(i) && (node[i].state == GATHER ||
           node[i].state == COMMIT || node[i].state == RECOVERY ||
           (node[i].state == OPERATIONAL && broken(i))) -> timer(i) }
    :: d_step { calm(i) && meets(i, (i + 1) % N) -> meet(i, (i + 1) % N) }
    :: d_step { calm(i) && meets(i, (i + 2) % N) -> meet(i, (i + 2) % N) }
    :: d_step { has(returning, i) -> boot(i) }
    /* Faults. */
    :: d_step { loses(i, 0) -> lose_join(i, 0) }
    :: d_step { loses(i, 1) -> lose_join(i, 1) }
    :: d_step { loses(i, 2) -> lose_join(i, 2) }
    :: d_step { faults > 0 && node[i].state != DOWN -> faults--;
        printf("too early: "); timer(i) }
    :: atomic { faults > 0 && node[i].state != DOWN -> crash(i) }
    od
}

/* Takes the token of the ring that node i represents to its next member. */
proctype Token(byte i)
{
    byte size;

end:
    do
    :: d_step { token[i].hop && (quiet || !installs(token[i])) ->
        token_take(token[i].at, token[i]) }
    :: d_step { token[i].hop && faults > 0 && !late_token.hop ->
        faults--; token_copy(late_token, token[i]) }
    :: d_step { token[i].hop && faults > 0 -> faults--;
        token_clear(token[i]) }
    :: d_step { late_token.hop && rep_of(late_token.ring) == i &&
           !token[i].hop ->
        token_copy(token[i], late_token); token_clear(late_token) }
    od
}

/* Where nothing moves any more there is one ring of all that are up. */
proctype Watch()
{
end:
    timeout -> assert(whole)
}

init {
    atomic {
        boot(0); boot(1); boot(2);
        pend[0] = 6; pend[1] = 5; pend[2] = 3;
        run Node(0); run Node(1); run Node(2);
        run Token(0); run Token(1); run Token(2);
        run Watch()
    }
}

/* After the last fault one ring of all that are up, for good: it is wrong if
 * again and again there is none. */
never {
again:
    if
    :: true -> goto again
    :: !whole -> goto accept_broken
    fi;
accept_broken:
    goto again
}
