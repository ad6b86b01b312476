/*
 * The REST way of docs/delivery.md, for spin: a lane of two events, requests
 * that run at the org after they were given up, and the late window that keeps
 * a follower from being overwritten by them. README.md tells what is checked and
 * what each macro breaks.
 */

#ifndef CRASHES
#define CRASHES 2 /* of the daemon */
#endif
#ifndef FAULTS
#define FAULTS 3 /* of the network and the org together */
#endif

#define EVENTS  2 /* of one lane, in the order of acceptance */
#define NOBODY  EVENTS

mtype:event  = { pending, inflight, delivered, failed, in_doubt };
mtype:answer = { silence, again, refused, success };

/* On disk. */
mtype:event event[EVENTS] = pending;
bool hold = false; /* the late window is running: no follower goes */

/* The org, and what is still on its way to it. */
bool repeatable[EVENTS]; /* an upsert by a unique field; else a create */
bool fit[EVENTS];        /* the org takes it; what it refuses it refuses each time */
byte effects[EVENTS];
byte last = 0;           /* the last event that took effect */
byte late[EVENTS];       /* requests that were given up and may still run */

byte crashes = 0;
byte faults = 0;

#define isOver(e) (event[e] == delivered || event[e] == failed || event[e] == in_doubt)

/* Every event comes to an end, or is blocked behind one that is in doubt. */
ltl every_event_settles { <> (isOver(0) && (isOver(1) || event[0] == in_doubt)) }

#define ifFault faults < FAULTS -> faults++
#define ifCrash crashes < CRASHES -> crashes++

/* write is a request at the org. */
inline write(e) {
	assert(e >= last);                        /* no old value over a new one */
	assert(repeatable[e] || effects[e] == 0); /* no effect twice */
	effects[e] = 1;
	last = e
}

/* arrive is a request at the org that is answered, by the org's own word. */
inline arrive(e) {
	if
	:: fit[e] -> write(e); answer = success
	:: !fit[e] -> answer = refused
	:: ifFault; answer = again
	fi
}

/* ambiguous is T2 of a request without an answer: what the event is now. */
inline ambiguous(e) {
#ifdef RESEND
	if
	:: true -> event[e] = pending
#else
	if
	:: repeatable[e] -> event[e] = pending
	:: else -> event[e] = in_doubt
#endif
	fi;
#ifndef NO_LATE_WINDOW
	hold = true
#endif
}

/* either leaves open which it is. */
inline either(flag) {
	if
	:: flag = true
	:: flag = false
	fi
}

active proctype daemon() {
	mtype:answer answer = silence;
	byte e = NOBODY;

	atomic { either(repeatable[0]); either(repeatable[1]); either(fit[0]); either(fit[1]) };

restart: /* a claim that is found may have been sent */
	atomic {
		answer = silence;
		e = NOBODY;
		if
		:: event[0] == inflight -> ambiguous(0)
		:: event[1] == inflight -> ambiguous(1)
		:: else
		fi
	};

end_T1: /* the head of the lane; the follower after it, and after the late window */
	atomic {
		if
		:: event[0] == pending -> e = 0
		:: (event[0] == delivered || event[0] == failed) && event[1] == pending && !hold -> e = 1
		:: ifCrash; goto crashed /* while there is nothing to do */
		fi;
		event[e] = inflight;
		if
		:: true
		:: ifCrash; goto crashed
		fi
	};

N1:
	atomic {
		if
		:: arrive(e)
		:: ifFault; answer = silence               /* lost on its way there */
		:: ifFault; arrive(e); answer = silence    /* or on its way back */
		:: ifFault; late[e]++; answer = silence    /* given up too early */
		:: ifCrash; late[e]++; goto crashed        /* we did not live to hear */
#ifdef DOUBLED
		:: ifFault; arrive(e); late[e]++
#endif
		fi;
		if
		:: true
		:: ifCrash; goto crashed
		fi
	};

T2:
	atomic {
		if
		:: answer == success -> assert(effects[e] == 1); event[e] = delivered
		:: answer == refused -> event[e] = failed
		:: answer == again   -> event[e] = pending
		:: answer == silence -> ambiguous(e)
		fi;
		goto restart
	};

crashed:
#ifdef HOLD_IN_MEMORY
	hold = false;
#endif
	goto restart
}

/* The org gets to what was given up, or never does. */
active proctype org() {
end:
	do
	:: atomic { late[0] -> late[0]--; if :: fit[0] -> write(0) :: true fi }
	:: atomic { late[1] -> late[1]--; if :: fit[1] -> write(1) :: true fi }
	od
}

/* The late window is longer than the org works on a request. */
active proctype window() {
end:
	do
	:: atomic { hold && !late[0] && !late[1] -> hold = false }
	od
}
