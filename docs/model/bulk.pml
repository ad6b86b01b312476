/*
 * The bulk protocol of docs/delivery.md, for spin: a daemon that may crash
 * after any step, a network that loses, delays and doubles calls, an org, and a
 * stranger who aborts and deletes jobs. The events are creates without a key
 * field, which nothing but the protocol keeps from doubling. README.md tells
 * what is checked and what each macro breaks.
 */

#ifndef CRASHES
#define CRASHES 2 /* of the daemon */
#endif
#ifndef FAULTS
#define FAULTS 2 /* of the network and the org together */
#endif
#ifndef STRANGER
#define STRANGER 1 /* jobs aborted or deleted by somebody else, or expired */
#endif
#ifndef JOBS
#define JOBS 3 /* that are remembered at a time */
#endif

#define EVENTS 2
#define BOTH   3 /* sets of events, of jobs and of calls are masks */
#define NONE   0
#define NOJOB  JOBS
#define LATE   (1 + CRASHES + FAULTS)

#define one(i)      (1 << (i))
#define has(set, i) (((set) >> (i)) & 1)

mtype:event  = { pending, inflight, delivered, failed, in_doubt };
mtype:phase  = { idle, claimed, open, closing, processing };
mtype:state  = { Open, UploadComplete, InProgress, JobComplete, Failed, Aborted };
mtype:call   = { PUT, CLOSE, ABORT };
mtype:answer = { silence, refusal, success };

#define Gone 0 /* a job that the org does not know: deleted, expired, not made yet */

/* On disk: only a T changes it, and a crash leaves it as it is. */
mtype:event event[EVENTS] = pending;
mtype:phase phase = idle;
byte held = NONE;   /* the events of the attempt */
byte jobid = NOJOB; /* its job */

/* The org. */
typedef Job {
	mtype:state state;
	byte data;    /* the rows that it was given */
	byte todo;    /* those that its batches may still come to */
	byte ok;      /* those that took effect */
	byte bad;     /* those that were refused for good */
	bool spoiled; /* by a second upload: it can only be aborted */
}
Job job[JOBS];
byte working = NONE;  /* the jobs that have batches to run */
byte effects[EVENTS]; /* of each event: what must not get to 2 */

/* The network: calls that were given up and may still arrive. */
typedef Call {
	mtype:call call;
	byte job;
	byte rows;
}
Call late[LATE];
byte flying = NONE; /* which of them are under way */

byte crashes = 0;
byte faults = 0;
byte acts = 0;

#define settled(e) (event[e] == delivered || event[e] == failed || event[e] == in_doubt)

/* Every event comes to an end, since crashes and faults do. */
ltl every_event_settles { <> (settled(0) && settled(1)) }

#define isRunning(s) ((s) == UploadComplete || (s) == InProgress)
#define isEnded(s)   ((s) == JobComplete || (s) == Failed || (s) == Aborted)

#define ifFault faults < FAULTS -> faults++
#define ifCrash crashes < CRASHES -> crashes++

/* pick sets i to any member of a set that has one. */
inline pick(i, set) {
	i = 0;
	do
	:: has(set, i) -> break
	:: (set) >> (i + 1) -> i++
	od
}

/* note keeps the set of jobs that have work. */
inline note(j) {
	if
	:: job[j].todo || isRunning(job[j].state) -> working = working | one(j)
	:: else -> working = working & ~one(j)
	fi
}

/* clear makes a job one that the org does not know. */
inline clear(j) {
	job[j].state = Gone;
	job[j].data = NONE;
	job[j].ok = NONE;
	job[j].bad = NONE;
	job[j].spoiled = false
}

/* abort ends a job. If it was closed its batches may go on for a while. */
inline abort(j) {
	if
	:: job[j].state == UploadComplete -> job[j].todo = job[j].data
	:: else
	fi;
	job[j].state = Aborted;
	note(j)
}

/* arrive is a call at the org, and what the org answers. */
inline arrive(c, j, given, reply) {
	reply = refusal;
	if
	:: c == PUT && job[j].state == Open && !job[j].data ->
		job[j].data = given;
		reply = success
	:: c == PUT && job[j].state == Open && job[j].data ->
		if /* orgs differ: a second upload is refused, or it spoils the job */
		:: reply = refusal
		:: job[j].spoiled = true; reply = success
		fi
	:: c == CLOSE && job[j].state == Open && job[j].data && !job[j].spoiled ->
		job[j].state = UploadComplete;
		note(j);
		reply = success
	:: c == ABORT && (job[j].state == Open || isRunning(job[j].state)) ->
		abort(j);
		reply = success
	:: else
	fi
}

/* linger leaves a call on its way, if it can still do something when it arrives. */
inline linger(c, j, given) {
	if
	:: job[j].state == Open || c == ABORT && isRunning(job[j].state) ->
		slot = 0;
		do
		:: has(flying, slot) -> slot++
		:: else -> break
		od;
		late[slot].call = c;
		late[slot].job = j;
		late[slot].rows = given;
		flying = flying | one(slot)
	:: else
	fi;
	slot = 0
}

/* The way of a call. */
#define ARRIVES  1
#define ANSWERED 2
#define LINGERS  4 /* and arrives at some later time, or never */
#define KILLED   8

/*
 * mayCrash stands after every T and every N that changes something. A crash
 * after a mere look is the same as one before it.
 */
inline mayCrash() {
	if
	:: true
	:: ifCrash; goto restart
	fi
}

/* send is N: a call, and what becomes of it and of its answer. */
inline send(c, given) {
	way = 0;
	if
	:: way = ARRIVES | ANSWERED
	:: ifFault                                      /* lost on its way there */
	:: ifFault; way = ARRIVES                       /* or on its way back */
	:: ifFault; way = LINGERS                       /* given up too early */
	:: ifFault; way = LINGERS | ARRIVES | ANSWERED  /* doubled */
	:: ifCrash; way = LINGERS | KILLED              /* we did not live to hear */
	fi;
	if
	:: way & LINGERS -> linger(c, jobid, given)
	:: else
	fi;
	if
	:: way & ARRIVES -> arrive(c, jobid, given, answer)
	:: else
	fi;
	if
	:: way & KILLED -> goto restart
	:: !(way & (KILLED | ANSWERED)) -> answer = silence
	:: else
	fi;
	way = 0;
	mayCrash()
}

/* fetch reads one of a job's three results; one that was cut looks like a short one. */
inline fetch(into, rows) {
	if
	:: job[jobid].state != Gone -> into = rows
	:: job[jobid].state != Gone && faults < FAULTS -> faults++; into = NONE
	:: job[jobid].state == Gone -> into = NONE; found = false
	fi
}

/* conclude is the outcome that the results tell of one event. */
inline conclude(e) {
	if
	:: !has(held, e)
	:: has(held, e) && has(good, e) ->
		assert(effects[e] == 1); /* delivered says that it took effect */
		event[e] = delivered
	:: has(held, e) && has(bad, e) ->
		assert(effects[e] == 0); /* failed says that it did not */
		event[e] = failed
	:: has(held, e) && has(unrun, e) ->
		event[e] = pending
	:: else -> /* in none of the three */
#ifdef GUESS
		event[e] = pending
#else
		assert(!found); /* in doubt only where nobody can know */
		event[e] = in_doubt
#endif
	fi
}

/* forget lets go of a job that nothing can happen to any more, which makes no difference but to the search. */
inline forget() {
	if
	:: jobid != NOJOB && isEnded(job[jobid].state) && !has(working, jobid) -> clear(jobid)
	:: else
	fi;
	jobid = NOJOB
}

/* leave ends an attempt. */
inline leave() {
	forget();
	held = NONE;
	phase = idle
}

/* giveBack is a T: an event of an attempt that was not closed waits again. */
inline giveBack(e) {
	if
	:: has(held, e) -> event[e] = pending; held = held & ~one(e)
	:: else
	fi
}

/* land takes a call off the air. */
inline land(i) {
	flying = flying & ~one(i);
	late[i].call = 0;
	late[i].job = 0;
	late[i].rows = NONE
}

#define isFree(j) (job[j].state == Gone && !has(working, j) && j != jobid)

/* make is a new job at the org, in a place where no late call can find it. */
inline make(j) {
	j = 0;
	do
	:: isFree(j) -> break
	:: else -> j++; assert(j < JOBS)
	od;
	slot = 0;
	do
	:: slot == LATE -> break
	:: slot < LATE && has(flying, slot) && late[slot].job == j -> land(slot); slot++
	:: else -> slot++
	od;
	slot = 0;
	clear(j);
	job[j].state = Open
}

active proctype daemon() {
	/* In memory: gone with a crash. */
	bool uploaded; /* this run gave the job its data, and has not tried to close it */
	bool refused;  /* the org refused to close the Open job */
	bool found;    /* the results were there */
	byte new, slot, way, good, bad, unrun;
	mtype:call c;
	mtype:answer answer;
	mtype:state seen;

restart:
	atomic {
		uploaded = false; refused = false; found = false;
		new = 0; slot = 0; way = 0; c = 0; good = NONE; bad = NONE; unrun = NONE;
		answer = silence; seen = Open;
		if
		:: phase == idle       -> goto end_T1
		:: phase == claimed    -> goto prepare
		:: phase == open       ->
#ifdef NO_ABORT
			goto prepare
#else
			goto discard
#endif
		:: phase == closing    ->
#ifdef ABANDON_CLOSING
			goto discard
#else
			goto look
#endif
		:: phase == processing -> goto poll
		fi
	};

end_T1: /* claim the first that waits, or both */
	atomic {
		event[0] == pending || event[1] == pending;
		if
		:: event[0] == pending -> held = one(0)
		:: event[0] != pending -> held = one(1)
		:: event[0] == pending && event[1] == pending -> held = BOTH
		fi;
		if
		:: has(held, 0) -> event[0] = inflight
		:: else
		fi;
		if
		:: has(held, 1) -> event[1] = inflight
		:: else
		fi;
		phase = claimed;
		mayCrash()
	};

prepare: /* one of two may turn out not to fit, and goes back */
	atomic {
		if
		:: true
		:: held == BOTH -> giveBack(0)
		:: held == BOTH -> giveBack(1)
		fi;
		mayCrash();
#ifdef NO_ABORT
		if
		:: phase == open -> goto N2
		:: else
		fi
#endif
	};

N1: /* a job that was made without our knowing stays empty: as if it were not */
	atomic {
		if
		:: make(new)
		:: ifFault; goto N1
		:: ifFault; giveBack(0); giveBack(1); leave(); goto restart
		fi;
		/* T2 */
		forget();
		jobid = new; new = 0;
		phase = open;
		mayCrash()
	};

N2:
	atomic {
		send(PUT, held);
		if
		:: answer == success -> uploaded = true; answer = silence
#ifdef NO_ABORT
		:: answer == refusal -> uploaded = true; answer = silence /* "it has data, then" */
		:: answer == silence -> goto N2
#else
		:: else -> answer = silence; goto discard
#endif
		fi
	};

T3:
	atomic {
#ifndef NO_T3
		phase = closing;
#endif
		mayCrash();
		if
		:: uploaded -> goto N3
		:: else -> goto look
		fi
	};

discard: /* the job was never closed, and has to be seen dead */
#ifndef LEAVE_OPEN
	atomic {
		if
		:: job[jobid].state == Open
		:: job[jobid].state == Aborted || job[jobid].state == Gone -> goto dead
		:: else -> goto T3 /* past Open after all */
		fi
	};
	atomic { send(ABORT, NONE); answer = silence; goto discard };
#endif

dead: /* another job, or none */
	atomic {
		if
		:: goto prepare
		:: giveBack(0); giveBack(1); leave(); goto restart
		fi
	};

look: /* whatever was answered before, the job's state decides */
	atomic {
		seen = job[jobid].state;
		if
		:: seen == Gone -> goto N5
		:: seen == Open -> goto N3
		:: else -> goto T4
		fi
	};

N3: /* after an upload without a look, and a close that is answered needs none */
	atomic {
		c = (refused -> ABORT : CLOSE);
		send(c, NONE);
		refused = (c == CLOSE && answer == refusal);
		if
		:: uploaded && answer == success -> goto T4
		:: else -> uploaded = false; c = 0; answer = silence; seen = Open; goto look
		fi
	};

T4:
	atomic { phase = processing; uploaded = false; refused = false; c = 0; answer = silence; seen = Open; mayCrash() };

poll: /* N4 */
	atomic {
		!isRunning(job[jobid].state);
		seen = job[jobid].state;
		assert(seen != Open)
	};
#ifndef NO_WINDOW
	if
	:: seen == Aborted -> job[jobid].todo == NONE /* the late window has passed */
	:: else
	fi;
#endif

N5: /* three answers; the job may vanish between them */
	atomic { found = true; fetch(good, job[jobid].ok) };
	atomic { fetch(bad, job[jobid].bad) };
	atomic {
		fetch(unrun, job[jobid].data & ~(job[jobid].ok | job[jobid].bad));
#ifndef NO_COUNTS
		if
		:: found && (good | bad | unrun) != held -> goto N5
		:: else
		fi
#endif
	};

T5:
#ifdef SPLIT_T5
	atomic { new = held; leave(); mayCrash() };
	atomic { held = new; conclude(0); conclude(1); held = NONE; goto restart }
#else
	atomic { conclude(0); conclude(1); leave(); goto restart }
#endif
}

/* The network brings what was given up, in any order. */
active proctype network() {
	byte i, j, rows;
	mtype:call call;
	mtype:answer unheard;
end:
	do
	:: atomic {
		flying ->
		pick(i, flying);
		call = late[i].call; j = late[i].job; rows = late[i].rows;
		land(i);
		arrive(call, j, rows, unheard);
		i = 0; j = 0; rows = 0; call = 0; unheard = 0
	}
	od
}

/* The org runs the rows of the jobs that were closed. */
active proctype org() {
	byte j, e;
end:
	do
	:: atomic {
		working ->
		pick(j, working);
		if
		:: job[j].state == UploadComplete ->
			job[j].state = InProgress;
			job[j].todo = job[j].data
		:: job[j].todo -> /* which of two comes first makes no difference: they are alike */
			e = (has(job[j].todo, 0) -> 0 : 1);
			job[j].todo = job[j].todo & ~one(e);
			if
			:: assert(effects[e] == 0);                             /* no effect twice */
			   assert(event[e] != delivered && event[e] != failed); /* no end before its effect */
			   effects[e]++;
			   job[j].ok = job[j].ok | one(e)
			:: job[j].bad = job[j].bad | one(e)
			fi
		:: job[j].state == InProgress && !job[j].todo -> job[j].state = JobComplete
		:: job[j].state == InProgress && faults < FAULTS -> faults++; job[j].state = Failed; job[j].todo = NONE
		:: job[j].state == Aborted || job[j].state == Gone -> job[j].todo = NONE
		fi;
		note(j);
		j = 0; e = 0
	}
	od
}

/* A stranger aborts and deletes jobs, and time does the like. */
active proctype stranger() {
end:
	do
	:: atomic {
		acts < STRANGER && jobid != NOJOB && job[jobid].state != Gone ->
		acts++;
		if
		:: job[jobid].state == Open || isRunning(job[jobid].state) -> abort(jobid)
#ifdef CLOSER
		:: job[jobid].state == Open && job[jobid].data -> job[jobid].state = UploadComplete; note(jobid)
#endif
		:: job[jobid].state == UploadComplete -> abort(jobid); clear(jobid) /* what was closed may go on */
		:: job[jobid].state == Open || isEnded(job[jobid].state) -> clear(jobid)
		fi
	}
	od
}
