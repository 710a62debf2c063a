"""What the crew does, written for LLVM: it runs without Python's lock, and before Numba compiles.

    parallel_for:  if someone is using the crew: run all shares, and return
                   describe the loop; done = 0; word = (next number of a loop, shares)
                   wake those who sleep; work; wait until done == shares
    work:          for each share, one's own first: if claimed[share] < number of the loop, and
                   nobody else was faster to write that number: run the share, done += 1
    member:        wait for a new word, awake or asleep; work

A member that comes late finds all shares claimed: their numbers only grow, and a word holds both
the loop's number and its shares. So the description it reads after a claim is that loop's.

Beside a busy process a member has its core half of the time, and everyone would wait for the share
it is at. So a member that has lost its core stays away for a time, twice as long if it had been
back for less than that; meanwhile others do its share. One interruption of a long loop is no such
loss: it takes a quarter of the time since the member looked the last time, and more.

In a crew of two or three that would be much to do without. There a member goes on in stints, and
rests as long after each, between two loops: the system gives it half of a core anyway, and who
leaves before its time is up is seldom interrupted within a share.
"""

from typing import Any

import llvmlite.ir as ir

from kernels.threads.code import INT, INT32, LINE, OWN_TIME, VOID, Code

MOST_MEMBERS = 255
_MOST_SHARES = 256  # a loop with more is run in so many runs of shares
_PAUSES_BEFORE_YIELD = 2000  # of the one who waits for the last shares: about 50 us
_LOST_OF_PASSED = 2  # a quarter, 1 / 2**2, and an interruption: so much of a long loop may be lost
_LEAST_AWAY_NS, _MOST_AWAY_NS = 40_000_000, 640_000_000
_STINT_NS = 1_000_000  # less than what the system gives to one of two at a time
_FEW_MEMBERS = 2

# Where what is in the shared memory; what different threads write lies on different cache lines.
_BUSY, _WORD, _DONE, _JOB, SIZE, SPIN = (line * LINE for line in range(6))
ABSENCE = SPIN + 1
_FN, _ARGS, _DIMS, _STEPS, _DATA, _INNER, _COUNT, _SHARES = range(_JOB, _JOB + 8)
_CLAIMED = 6 * LINE
_ASLEEP = _CLAIMED + _MOST_SHARES * LINE
SEMAPHORES = _ASLEEP + MOST_MEMBERS * LINE
_AWAY_UNTIL = SEMAPHORES + MOST_MEMBERS * LINE
_SELVES = _AWAY_UNTIL + MOST_MEMBERS * LINE
NUMBERS = _SELVES + MOST_MEMBERS


def _write_run(code: Code) -> Any:
    """run(share): call the loop's function for a run of shares, as Numba's own layers do."""
    run = code.function("run", 1)
    run.attributes.add("noinline")  # its room on the stack is given back at its end
    builder, (share,) = code.builder, run.args
    fn, args, dims, steps, data, inner, count, shares = (
        code.load(code.place(field))
        for field in (_FN, _ARGS, _DIMS, _STEPS, _DATA, _INNER, _COUNT, _SHARES)
    )
    whole = code.load(dims)
    first = builder.udiv(builder.mul(share, whole), shares)
    past = builder.udiv(builder.mul(builder.add(share, code.number(1)), whole), shares)
    sizes = builder.ptrtoint(builder.alloca(INT, builder.add(inner, code.number(1))), INT)
    arrays = builder.ptrtoint(builder.alloca(INT, builder.add(count, code.number(1))), INT)

    def at(address: Any, index: Any) -> Any:
        return builder.add(address, builder.mul(index, code.number(8)))

    code.store(sizes, builder.sub(past, first))
    code.loop(
        code.number(1),
        builder.add(inner, code.number(1)),
        lambda i, _: code.store(at(sizes, i), code.load(at(dims, i))),
    )

    def place_array(i: Any, _: Any) -> None:
        offset = builder.mul(code.load(at(steps, i)), first)
        code.store(at(arrays, i), builder.add(code.load(at(args, i)), offset))

    code.loop(code.number(0), count, place_array)
    kind = ir.FunctionType(VOID, [INT] * 4)
    builder.call(builder.inttoptr(fn, kind.as_pointer()), [arrays, sizes, steps, data])
    builder.ret_void()
    return run


def _write_work(code: Code, run: Any) -> Any:
    """work(word, me): claim and run the shares of a loop, those from one's own number on first."""
    work = code.function("work", 2)
    builder, (word, me) = code.builder, work.args
    loop, shares = builder.lshr(word, code.number(16)), builder.and_(word, code.number(0xFFFF))

    def attempt(i: Any, further: Any) -> None:
        share = builder.add(me, i)
        beyond = builder.icmp_unsigned(">=", share, shares)
        share = builder.sub(share, builder.select(beyond, shares, code.number(0)))
        claim = code.place(_CLAIMED, share)
        last = code.read(claim)
        code.unless(builder.icmp_unsigned("<", last, loop), further)
        code.unless(code.replace(claim, last, loop), further)
        builder.call(run, [share])
        builder.atomic_rmw("add", code.pointer(code.place(_DONE)), code.number(1), "seq_cst")

    code.loop(code.number(0), shares, attempt)
    builder.ret_void()
    return work


def _write_parallel_for(code: Code, work: Any) -> None:
    """What Numba calls; its arguments are described in numba/np/ufunc/gufunc_scheduler."""
    function = code.function("parallel_for", 8)
    builder = code.builder
    fn, args, dims, steps, data, inner, count, _ = function.args
    kind = ir.FunctionType(VOID, [INT] * 4)
    alone, whole = code.block("alone"), code.load(dims)
    size = code.read(code.place(SIZE))
    code.unless(builder.icmp_unsigned(">", whole, code.number(1)), alone)
    code.unless(builder.icmp_unsigned(">", size, code.number(0)), alone)
    code.unless(code.replace(code.place(_BUSY), code.number(0), code.number(1)), alone)
    shares = code.least(whole, code.number(_MOST_SHARES))
    for field, value in zip(
        (_FN, _ARGS, _DIMS, _STEPS, _DATA, _INNER, _COUNT, _SHARES),
        (fn, args, dims, steps, data, inner, count, shares),
        strict=True,
    ):
        code.store(code.place(field), value)
    code.write(code.place(_DONE), code.number(0))
    before = builder.lshr(code.read(code.place(_WORD)), code.number(16))
    following = builder.shl(builder.add(before, code.number(1)), code.number(16))
    word = builder.or_(following, shares)
    code.write(code.place(_WORD), word)

    def wake(member: Any, further: Any) -> None:
        asleep = code.place(_ASLEEP, member)
        code.unless(builder.icmp_unsigned("==", code.read(asleep), code.number(1)), further)
        until = code.read(code.place(_AWAY_UNTIL, member))
        here = code.block("here")
        code.unless(builder.icmp_unsigned("!=", until, code.number(0)), here)
        code.unless(builder.icmp_unsigned(">", code.now(), until), further)
        code.write(code.place(_AWAY_UNTIL, member), code.number(0))
        code.go(here)
        was = code.exchange(asleep, code.number(0))
        code.unless(builder.icmp_unsigned("==", was, code.number(1)), further)
        code.call_c("sem_post", code.place(SEMAPHORES, member))

    code.loop(code.number(0), code.least(builder.sub(shares, code.number(1)), size), wake)
    builder.call(work, [word, code.number(0)])

    waited = builder.alloca(INT)
    builder.store(code.number(0), waited)
    wait, end = code.block("wait"), code.block("end")
    code.go(wait)
    done = code.read(code.place(_DONE))
    code.unless(builder.icmp_unsigned("<", done, shares), end)
    code.pause()
    times = builder.add(builder.load(waited), code.number(1))
    builder.store(times, waited)
    code.unless(builder.icmp_unsigned(">", times, code.number(_PAUSES_BEFORE_YIELD)), wait)
    code.call_c("sched_yield")
    builder.branch(wait)
    builder.position_at_end(end)
    code.write(code.place(_BUSY), code.number(0))
    builder.ret_void()

    builder.position_at_end(alone)
    builder.call(builder.inttoptr(fn, kind.as_pointer()), [args, dims, steps, data])
    builder.ret_void()


def _write_member(code: Code, work: Any) -> None:
    """member(k): what the thread k of the crew does until the process ends."""
    function = code.function("member", 1, INT)
    builder, (member,) = code.builder, function.args
    me, asleep = builder.add(member, code.number(1)), code.place(_ASLEEP, member)
    seen, times, began, checked, ran, away, back = (builder.alloca(INT) for _ in range(7))
    code.store(code.place(_SELVES, member, 1), code.call_c("pthread_self", result=INT))
    builder.store(code.number(0), seen)
    builder.store(code.number(_LEAST_AWAY_NS), away)
    awake, ready, look, new, wait, check = (
        code.block(name) for name in ("awake", "ready", "look", "new", "wait", "check")
    )
    stint, loss, enough, doze, leave, rest, sleep = (
        code.block(name) for name in ("stint", "loss", "enough", "doze", "leave", "rest", "sleep")
    )

    builder.store(code.now(), back)
    code.go(awake)
    builder.store(code.now(), checked)
    builder.store(code.now(OWN_TIME), ran)
    code.go(ready)
    builder.store(code.now(), began)
    builder.store(code.number(0), times)
    builder.branch(check)

    builder.position_at_end(look)
    word = code.read(code.place(_WORD))
    builder.cbranch(builder.icmp_unsigned("!=", word, builder.load(seen)), new, wait)

    builder.position_at_end(new)
    builder.store(word, seen)
    shares = builder.and_(word, code.number(0xFFFF))
    code.unless(builder.icmp_unsigned("<", me, shares), wait)
    builder.call(work, [word, me])
    builder.branch(ready)

    builder.position_at_end(wait)
    code.pause()
    count = builder.add(builder.load(times), code.number(1))
    builder.store(count, times)
    every = builder.and_(count, code.number(15))
    builder.cbranch(builder.icmp_unsigned("==", every, code.number(0)), check, look)

    # Whether this thread had its core for itself, and whether it has waited long enough.
    builder.position_at_end(check)
    time = code.now()
    passed = builder.sub(time, builder.load(checked))
    builder.cbranch(builder.icmp_signed("<", time, builder.load(back)), stint, loss)
    builder.position_at_end(stint)
    builder.cbranch(builder.icmp_signed(">", passed, code.number(_STINT_NS)), rest, enough)
    builder.position_at_end(loss)
    absence = code.load(code.place(ABSENCE))
    code.unless(builder.icmp_signed(">", passed, absence), enough)
    own = code.now(OWN_TIME)
    lost = builder.sub(passed, builder.sub(own, builder.load(ran)))
    builder.store(time, checked)
    builder.store(own, ran)
    part = builder.ashr(passed, code.number(_LOST_OF_PASSED))
    most = builder.add(absence, part)
    builder.cbranch(builder.icmp_signed(">", lost, most), leave, enough)
    builder.position_at_end(enough)
    waited = builder.sub(time, builder.load(began))
    spin = code.load(code.place(SPIN))
    builder.cbranch(builder.icmp_unsigned(">", waited, spin), doze, look)

    # Say so first, then look once more: whoever calls either is seen here or sees it and posts.
    builder.position_at_end(doze)
    code.write(asleep, code.number(1))
    word = code.read(code.place(_WORD))
    code.unless(builder.icmp_unsigned("!=", word, builder.load(seen)), sleep)
    was = code.exchange(asleep, code.number(0))
    builder.cbranch(builder.icmp_unsigned("==", was, code.number(1)), ready, sleep)

    builder.position_at_end(leave)
    twice = code.least(builder.shl(builder.load(away), code.number(1)), code.number(_MOST_AWAY_NS))
    stayed = builder.icmp_unsigned(">", builder.sub(time, builder.load(back)), twice)
    pause = builder.select(stayed, code.number(_LEAST_AWAY_NS), twice)
    builder.store(pause, away)
    builder.store(builder.add(time, pause), back)
    code.go(rest)
    until = builder.load(back)
    few = builder.icmp_unsigned("<=", code.read(code.place(SIZE)), code.number(_FEW_MEMBERS))
    soon = code.least(builder.add(time, code.number(_STINT_NS)), until)
    until = builder.select(few, soon, until)
    code.write(code.place(_AWAY_UNTIL, member), until)
    code.write(asleep, code.number(1))
    code.go(sleep)
    failed = code.call_c("sem_wait", code.place(SEMAPHORES, member))  # a signal may end it early
    builder.cbranch(builder.icmp_signed("==", failed, ir.Constant(INT32, 0)), awake, sleep)


def _write_thread_id(code: Code) -> None:
    """thread_id(): 0 for who began the loop, else the member's number and 1."""
    code.function("thread_id", 0, INT32)
    builder = code.builder
    self = code.call_c("pthread_self", result=INT)

    def compare(member: Any, further: Any) -> None:
        is_me = builder.icmp_unsigned("==", code.load(code.place(_SELVES, member, 1)), self)
        code.unless(is_me, further)
        builder.ret(builder.trunc(builder.add(member, code.number(1)), INT32))
        builder.position_at_end(code.block("never"))

    code.loop(code.number(0), code.read(code.place(SIZE)), compare)
    builder.ret(ir.Constant(INT32, 0))


def write_module(triple: str) -> str:
    """LLVM's text of all that the crew does."""
    code = Code(triple, NUMBERS)
    work = _write_work(code, _write_run(code))
    _write_parallel_for(code, work)
    _write_member(code, work)
    _write_thread_id(code)
    return str(code.module)
