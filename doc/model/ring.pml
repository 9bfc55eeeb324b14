/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.pml - how the two sides of ipc/ring.h sleep and wake each other.
 *
 * A client puts OPS records into its submit ring (api/submit.c), the daemon
 * takes them (daemon/server/server.c, take.c) and answers requests through the
 * reply ring. Every access to a word that both see is a step of its own, and
 * steps interleave in every way. That is sequential consistency, which is what
 * the code asks for: each of these accesses is seq_cst there. What release and
 * acquire alone would allow is not in here.
 *
 * Positions count records. The adversary is the clock: a doze's end, and all
 * else that might wake the daemon, may be as late as it likes, in particular
 * not before a client that waits has gone on. So a wake-up that is missing is a
 * state in which nothing moves (spin: "invalid end state").
 *
 * MUTANT=1  the consumer looks for records before it announces its sleep
 * MUTANT=2  an announcement is taken by a store, not by an exchange
 * MUTANT=3  a client does not nudge before it waits
 * MUTANT=4  the producer looks for room before it announces that it waits
 * MUTANT=5  the producer looks at `asleep` before it publishes */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef OPS
#define OPS 4
#endif
#ifndef SLOTS
#define SLOTS 2
#endif

#define AWAKE  0
#define ASLEEP 1
#define DOZING 2

/* The words of struct ring_shared, of the submit and of the reply ring. */
byte tail, head, asleep, waiting;
byte reply_tail, reply_head, reply_asleep;
bool is_request[SLOTS];

/* The doorbell is an eventfd that is never read, watched edge by edge: each
 * write is told once. The reply descriptor is level triggered, and emptied by
 * who wakes; that of room, by who next finds none. */
bool bell, reply_fd, room_fd;

/* Not in the code: for what is claimed. */
bool announced;       /* `asleep` was set, and not yet taken or withdrawn */
bool reply_announced;
bool room_announced;
bool blocked;         /* the client waits in the kernel */
bool finished;        /* the client has done all it wanted */

/* The exchange with 0: what was there, in `was`. */
inline exchange(word, was, ghost)
{
#if MUTANT == 2
    word = 0;
    was = 1;
    assert(ghost);
    ghost = false;
#else
    atomic {
        was = word;
        word = 0;
        if
        :: was != 0 -> assert(ghost); ghost = false
        :: else
        fi
    }
#endif
}

inline announce(word, as, ghost)
{
    atomic { word = as; ghost = true }
}

/* take_sleeper() for the submit ring, and the ring of the bell. */
inline wake_daemon(as)
{
    if
    :: asleep == as ->
        exchange(asleep, was, announced);
        if
        :: was != AWAKE -> bell = true
        :: else
        fi
    :: else
    fi
}

/* ring_nudge() */
inline nudge()
{
#if MUTANT == 3
    skip
#else
    if
    :: asleep == DOZING ->
        head_seen = head;
        if
        :: my_tail != head_seen -> wake_daemon(DOZING)
        :: else
        fi
    :: else
    fi
#endif
}

/* sleep_for() */
inline wait_reply_fd()
{
    nudge();
    blocked = true;
    atomic { reply_fd -> reply_fd = false; blocked = false }
}

proctype Client()
{
    byte my_tail, head_seen, my_reply_head, was, done;
    bool request, saw, now_asleep;

    do
    :: done == OPS -> break
    :: done < OPS ->
        if
        :: request = true
        :: request = false
        fi;
claim:
        if
        :: my_tail - head_seen == SLOTS -> head_seen = head
        :: else
        fi;
        if
        :: my_tail - head_seen < SLOTS
        :: else -> /* no_room() */
            nudge();
            if
            :: !request ->
                /* TRY_AGAIN: the program comes back when it likes. Here, not
                 * before there is room: one nudge must do. */
                blocked = true;
                atomic { my_tail - head < SLOTS -> blocked = false }
            :: request -> /* claim_until(); more of it in room.pml */
                room_fd = false;
#if MUTANT == 4
                saw = (my_tail - head < SLOTS);
                announce(waiting, 1, room_announced);
#else
                announce(waiting, 1, room_announced);
                saw = (my_tail - head < SLOTS);
#endif
                if
                :: saw
                :: else ->
                    blocked = true;
                    atomic { room_fd -> blocked = false }
                fi
            fi;
            goto claim
        fi;

        /* ring_push(), ring_publish() */
        is_request[my_tail % SLOTS] = request;
        my_tail++;
#if MUTANT == 5
        now_asleep = (asleep == ASLEEP);
        tail = my_tail;
        if
        :: now_asleep ->
            exchange(asleep, was, announced);
            if
            :: was != AWAKE -> bell = true
            :: else
            fi
        :: else
        fi;
#else
        tail = my_tail;
        wake_daemon(ASLEEP);
#endif

        if
        :: request -> /* wait_reply() */
            do
            :: reply_tail != my_reply_head -> break
            :: else ->
#if MUTANT == 1
                saw = (reply_tail != my_reply_head);
                announce(reply_asleep, ASLEEP, reply_announced);
#else
                announce(reply_asleep, ASLEEP, reply_announced);
                saw = (reply_tail != my_reply_head);
#endif
                if
                :: saw /* the announcement stays */
                :: else ->
                    wait_reply_fd();
                    exchange(reply_asleep, was, reply_announced)
                fi
            od;
            my_reply_head++;
            reply_head = my_reply_head
        :: !request /* a multicast: the client goes on */
        :: !request -> /* or waits for its own message to come back */
            nudge();
            blocked = true;
            atomic { head == my_tail -> blocked = false }
        fi;
        done++
    od;
    finished = true
}

/* ring_arm(), ring_doze(): saw: there is something. */
inline sleep_look(as)
{
#if MUTANT == 1
    tail_seen = tail;
    announce(asleep, as, announced);
#else
    announce(asleep, as, announced);
    tail_seen = tail;
#endif
    saw = (tail_seen != my_head)
}

proctype Daemon()
{
    byte my_head, released, tail_seen, my_reply_tail, was;
    bool saw, dozing;

    do
    :: true ->
        /* client_answer(): all that is there. */
        do
        :: my_head == tail_seen ->
            tail_seen = tail;
            if
            :: my_head == tail_seen -> break
            :: else
            fi
        :: my_head != tail_seen ->
            if
            :: is_request[my_head % SLOTS] ->
                my_reply_tail++;
                reply_tail = my_reply_tail;
                if
                :: reply_asleep == ASLEEP ->
                    exchange(reply_asleep, was, reply_announced);
                    if
                    :: was != AWAKE -> reply_fd = true
                    :: else
                    fi
                :: else
                fi
            :: else
            fi;
            my_head++
        od;
        /* give_back(): ring_release() */
        if
        :: released != my_head ->
            released = my_head;
            head = my_head;
            if
            :: waiting != 0 ->
                exchange(waiting, was, room_announced);
                if
                :: was != 0 -> room_fd = true
                :: else
                fi
            :: else
            fi
        :: else
        fi;
        /* server_arm(), as the clock and the token have it. */
        dozing = false;
        if
        :: saw = true /* the token circulates: the next visit looks again */
        :: sleep_look(DOZING);
            dozing = true /* the announcement stays, whatever was seen */
        :: sleep_look(ASLEEP);
            if
            :: saw -> exchange(asleep, was, announced)
            :: else
            fi
        fi;
        if
        :: saw
        :: else ->
end_sleep:
            if
            :: atomic { bell -> bell = false }
            :: dozing && !blocked /* the doze ends */
            fi
        fi
    od
}

/* Whoever has finished has no need to wait; what it left must be taken too. */
proctype Monitor()
{
end_watch:
    timeout -> assert(finished && head == tail && reply_head == reply_tail)
}

init { atomic { run Client(); run Daemon(); run Monitor() } }
