/* SPDX-License-Identifier: BSD-3-Clause */
/* room.pml - threads of one client that wait for room in its submit ring.
 *
 * no_room() and conn_claim_until() of api/submit.c, ring_wait_room() and
 * ring_release() of ipc/ring.c. Two threads put records of different sizes into
 * one ring; who finds no room empties the descriptor, asks the daemon to tell,
 * looks again, and polls. The descriptor stays readable until it is emptied, so
 * one byte wakes all. Every access to what the two sides share is a step of its
 * own; the threads' lock is one too.
 *
 * MUTANT=1  asks, then empties the descriptor
 * MUTANT=2  withdraws the request if there turns out to be room
 * MUTANT=3  looks for room, then asks
 * MUTANT=4  takes the byte after waking */
#ifndef MUTANT
#define MUTANT 0
#endif
#define SLOTS 3
#define OPS   3

byte tail, head;  /* the ring's words */
bool waiting;
bool fd;          /* room_fd is readable */
byte head_seen;   /* the producer's, under the lock */
bool locked;
byte finished;

#define ROOM(size) (SLOTS - (tail - head_seen) >= size)

/* A thread whose records take `size` slots. */
proctype Sender(byte size)
{
    byte done;

    do
    :: done == OPS -> break
    :: done < OPS ->
claim:
        atomic { !locked -> locked = true };
        if
        :: !ROOM(size) -> head_seen = head
        :: else
        fi;
        if
        :: ROOM(size) -> goto have
        :: else
        fi;
        /* no_room() */
#if MUTANT == 1
        waiting = true;
        fd = false;
        head_seen = head;
#elif MUTANT == 3
        fd = false;
        head_seen = head;
        waiting = true;
#else
        fd = false;
        waiting = true;
        head_seen = head;
#endif
        if
        :: ROOM(size) ->
#if MUTANT == 2
            waiting = false;
#endif
            goto have
        :: else
        fi;
        locked = false;
#if MUTANT == 4
        atomic { fd -> fd = false };
#else
        fd; /* poll() */
#endif
        goto claim;
have:
        tail = tail + size;
        locked = false;
        done++
    od;
    finished++
}

/* Takes records as they come, gives memory back when it likes. */
proctype Daemon()
{
    byte my_head, seen;
    bool was;

end_idle:
    do
    :: my_head != seen -> my_head++
    :: my_head == seen && seen != tail -> seen = tail
    :: my_head != head ->
        head = my_head;
        if
        :: waiting ->
            atomic { was = waiting; waiting = false };
            if
            :: was -> fd = true
            :: else
            fi
        :: else
        fi
    od
}

proctype Monitor()
{
end_watch:
    timeout -> assert(finished == 2 && head == tail)
}

init { atomic { run Sender(1); run Sender(3); run Daemon(); run Monitor() } }
