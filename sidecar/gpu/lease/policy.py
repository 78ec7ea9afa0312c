"""The lease: how the GPU is borrowed from the LLM for a batch of pages, and given back. Pure, replayable.

::

    free ──asked──► waiting ──idle──► taking ──gone──► held ──over──► releasing ──quiet──► restoring ──proved──► free
                       │ not in time     │ does not leave, or callers left                     ▲
                       ▼                 └──────────────────────────────────────────────────────┘
                      free

From ``taking`` on, what is owed is on disk. The LLM comes first: it is unloaded only while it looks idle, by a request
that lets its running answer end, and whoever calls it meanwhile ends the lease.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sidecar.gpu.lease.state import NEVER_S, Act, Facts, LeaseState, LeaseTerms, Owed, Phase
from sidecar.gpu.vram import ResidentModel, VramHeadroom, full_name
from sidecar.gpu.wish import Wish, lacking_mb, own_mb

FOREVER_S = 100 * 365 * 24 * 3600.0
"""Ollama's word for "never leaves" is a date some 292 years ahead."""
LEAST_KEEP_ALIVE_S = 60.0
"""A model that had only seconds left when it was unloaded stays for at least this long when it is back."""
WHOLE = 0.9
"""A model is back when this share of the VRAM that it had is its own again: less means that a part is on the CPU."""
PARTIAL_TRIES = 3
"""After so many loads a part on the CPU is accepted: perhaps another process has the memory for good."""
LONGEST_BACKOFF_S = 30.0
HOPELESS_BARS = 10
"""How many times longer nobody tries again where there was no room even without the LLM."""


Next = tuple[LeaseState, Act]


def next_lease(state: LeaseState, facts: Facts, terms: LeaseTerms) -> Next:
    """Give the next state and what is to be done, from what is known now."""
    match state.phase:
        case Phase.FREE:
            return _free(state, facts, terms)
        case Phase.WAITING:
            return _waiting(state, facts, terms)
        case Phase.TAKING:
            return _taking(state, facts, terms)
        case Phase.HELD:
            return _held(state, facts, terms)
        case Phase.RELEASING:
            return _releasing(state, facts, terms)
        case Phase.RESTORING:
            return _restoring(state, facts, terms)


def restore(owed: Iterable[Owed], now_s: float) -> LeaseState:
    """Begin to give back what is owed, whoever took it: a process before this one, or a call without memory."""
    return LeaseState(Phase.RESTORING, now_s, owed=tuple(owed), next_try_s=now_s)


def join(owed: tuple[Owed, ...], more: Iterable[Owed]) -> tuple[Owed, ...]:
    """Add to what is owed; what was noted first stands: a model is given back as it was before the first loss."""
    names = {one.name for one in owed}
    return owed + tuple(one for one in more if one.name not in names)


def forgive(state: LeaseState, owed: Owed) -> LeaseState:
    """Forget a model that can never be back."""
    return replace(state, owed=tuple(one for one in state.owed if one != owed))


def owe(model: ResidentModel) -> Owed:
    """Note a model as it is. Its whole keep_alive is not told, only what is left of it."""
    left_s = model.remaining_s if model.remaining_s is not None else LEAST_KEEP_ALIVE_S
    keep_alive_s = -1.0 if left_s > FOREVER_S else max(LEAST_KEEP_ALIVE_S, left_s)
    return Owed(name=model.name, vram_mb=model.vram_mb, context_length=model.context_length, keep_alive_s=keep_alive_s)


def plan_leaving(facts: Facts) -> tuple[ResidentModel, ...]:
    """Choose the models that must leave, the largest first, until all calls have room or nobody is left."""
    headroom = facts.headroom
    if all(has_room(wish, headroom, facts.ours) for wish in facts.wishes):
        return ()
    leaving: list[ResidentModel] = []
    for model in sorted(headroom.others(*facts.ours), key=lambda one: -one.vram_mb):
        if _all_fit(facts.wishes, headroom, facts.ours):
            break
        leaving.append(model)
        headroom = headroom.without(model)
    return tuple(leaving)


def _all_fit(wishes: Sequence[Wish], headroom: VramHeadroom, ours: frozenset[str]) -> bool:
    """Tell whether all calls of all models have room: together, where another stays that the server could evict."""
    if headroom.others(*ours):
        together_mb = headroom.available_mb + sum(own_mb(wish, headroom) for wish in wishes)
        if sum(wish.need_mb for wish in wishes) > together_mb:
            return False
    return all(lacking_mb(wish, headroom, ours, wish.need_mb) <= 0 for wish in wishes)


def has_room(wish: Wish, headroom: VramHeadroom, ours: frozenset[str]) -> bool:
    """Tell whether one call has room as it is, without eviction of whoever is there."""
    return lacking_mb(wish, headroom, ours, wish.least_mb) <= 0


# ── the phases ────────────────────────────────────────────────────────────────────────────────────────────────────


def _free(state: LeaseState, facts: Facts, terms: LeaseTerms) -> Next:
    if not facts.asking:
        return state, Act.NONE
    if facts.now_s < state.barred_until_s:
        return state, Act.REFUSE
    if facts.obstacle:
        return replace(state, refusal=facts.obstacle), Act.REFUSE
    ends_s = facts.now_s + terms.wait_s
    return LeaseState(Phase.WAITING, facts.now_s, ends_s, quiet_since_s=facts.now_s), Act.NONE


def _waiting(state: LeaseState, facts: Facts, terms: LeaseTerms) -> Next:
    if not facts.asking:
        return LeaseState(), Act.NONE
    if facts.obstacle:
        return _refuse(facts.obstacle, NEVER_S), Act.REFUSE
    leaving = plan_leaving(facts) if facts.headroom.query_success else ()
    if not leaving:  # there is room now, or nobody can tell
        return LeaseState(), Act.LOOK_AGAIN
    state = _watch(state, leaving, facts.now_s)
    is_quiet = facts.now_s - state.quiet_since_s >= terms.quiet_s
    if is_quiet and facts.pages >= terms.min_pages:
        return _take(state, leaving, facts, terms), Act.UNLOAD
    if facts.now_s >= state.ends_s:
        return _refuse(_in_vain(leaving, facts, terms, is_quiet=is_quiet), facts.now_s + terms.bar_s), Act.REFUSE
    return state, Act.NONE


def _watch(state: LeaseState, leaving: tuple[ResidentModel, ...], now_s: float) -> LeaseState:
    """Note whether a model looks busy: a request of it has ended since, or runs for longer than its keep_alive."""
    dates = {one.name: one.expires_at for one in state.signs}
    is_same = all(dates.get(one.name) == one.expires_at for one in leaving)
    is_late = any(one.remaining_s is not None and one.remaining_s <= 0 for one in leaving)
    return replace(state, signs=leaving, quiet_since_s=state.quiet_since_s if is_same and not is_late else now_s)


def _in_vain(leaving: Sequence[ResidentModel], facts: Facts, terms: LeaseTerms, *, is_quiet: bool) -> str:
    if is_quiet:
        return f"{facts.pages} pages waited for a lease, which is taken for {terms.min_pages} or more"
    return f"{_names(leaving)} did not become idle within {terms.wait_s:g} s"


def _take(state: LeaseState, leaving: tuple[ResidentModel, ...], facts: Facts, terms: LeaseTerms) -> LeaseState:
    names = {one.name for one in leaving}
    return LeaseState(
        Phase.TAKING,
        facts.now_s,
        max(state.ends_s, facts.now_s + terms.settle_s),
        owed=tuple(owe(one) for one in leaving),
        stays=frozenset(one.name for one in facts.headroom.others(*facts.ours) if one.name not in names),
    )


def _taking(state: LeaseState, facts: Facts, terms: LeaseTerms) -> Next:
    if not facts.headroom.query_success and facts.now_s < state.ends_s:
        return state, Act.NONE
    if facts.obstacle or not (facts.asking or facts.calls):
        return _back(state, facts), Act.NONE
    if not any(facts.headroom.is_resident(one.name) for one in state.owed):
        return _gone(state, facts, terms)
    if facts.now_s >= state.ends_s:
        refusal = f"{_names(state.owed)} did not leave within {terms.wait_s:g} s"
        return _back(state, facts, refusal, terms.bar_s), Act.REFUSE
    return state, Act.NONE


def _gone(state: LeaseState, facts: Facts, terms: LeaseTerms) -> Next:
    """Take what the models left behind, once it shows."""
    gone_since_s = facts.now_s if state.gone_since_s is None else state.gone_since_s
    have_room = [has_room(wish, facts.headroom, facts.ours) for wish in facts.wishes]
    is_settled = facts.now_s - gone_since_s >= terms.settle_s
    if all(have_room) or (is_settled and any(have_room)):
        held = replace(state, phase=Phase.HELD, since_s=facts.now_s, ends_s=gone_since_s + terms.hold_s)
        return held, Act.LOOK_AGAIN
    if is_settled:
        refusal = f"the GPU has no room for the OCR model even without {_names(state.owed)}"
        return _back(state, facts, refusal, HOPELESS_BARS * terms.bar_s), Act.REFUSE
    return replace(state, gone_since_s=gone_since_s), Act.NONE


def _held(state: LeaseState, facts: Facts, terms: LeaseTerms) -> Next:
    is_used = facts.asking or facts.calls or facts.pages
    since_s = facts.now_s if state.unused_since_s is None else state.unused_since_s
    unused_since_s = None if is_used else since_s
    is_unused = unused_since_s is not None and facts.now_s - unused_since_s >= terms.linger_s
    if facts.now_s >= state.ends_s or is_unused or facts.obstacle or _is_recalled(state, facts):
        return replace(state, phase=Phase.RELEASING, since_s=facts.now_s), Act.NONE
    return replace(state, unused_since_s=unused_since_s), Act.NONE


def _is_recalled(state: LeaseState, facts: Facts) -> bool:
    """Tell whether somebody called another model, which Ollama then loads: the LLM comes first."""
    return any(one.name not in state.stays for one in facts.headroom.others(*facts.ours))


def _releasing(state: LeaseState, facts: Facts, terms: LeaseTerms) -> Next:
    if not facts.calls:
        return _back(state, facts), Act.RELEASE
    return state, Act.CUT if facts.now_s - state.since_s >= terms.grace_s else Act.NONE


def _restoring(state: LeaseState, facts: Facts, terms: LeaseTerms) -> Next:
    if not facts.headroom.query_success and facts.now_s < state.next_try_s:
        return state, Act.NONE
    missing = [one for one in state.owed if not is_back(one, facts.headroom, state.tries)]
    is_kept_out = facts.headroom.query_success and not _has_room(missing, facts) and _is_blocked(state, facts)
    void = [one for one in missing if is_kept_out and facts.now_s - state.since_s > _kept_s(one, terms)]
    pending = [one for one in missing if one not in void]
    state = replace(state, owed=tuple(pending), forgiven=(*state.forgiven, *void))
    if not pending:
        end = LeaseState(forgiven=state.forgiven, refusal=state.refusal, barred_until_s=state.barred_until_s)
        return end, Act.LOOK_AGAIN
    if any(facts.headroom.is_resident(name) for name in facts.ours) and facts.now_s >= state.next_try_s:
        backoff_s = min(terms.settle_s, 1.0)
        if facts.now_s - state.since_s < terms.settle_s:
            return replace(state, next_try_s=facts.now_s + backoff_s), Act.RELEASE
    if _must_wait(state, pending, facts, terms):
        return state, Act.NONE
    tries = state.tries + 1
    next_try_s = facts.now_s + min(LONGEST_BACKOFF_S, 2.0 ** min(tries - 1, 10))
    return replace(state, tries=tries, next_try_s=next_try_s), Act.LOAD


def _must_wait(state: LeaseState, pending: Sequence[Owed], facts: Facts, terms: LeaseTerms) -> bool:
    """Tell whether a load must wait: for its turn, for memory that is being freed, or for another's model to leave."""
    if facts.now_s < state.next_try_s:
        return True
    is_tight = facts.headroom.query_success and not _has_room(pending, facts)
    is_settling = facts.now_s - state.since_s < terms.settle_s
    return is_tight and (is_settling or _is_blocked(state, facts))


def _has_room(pending: Sequence[Owed], facts: Facts) -> bool:
    missing = (one for one in pending if not facts.headroom.is_resident(one.name))
    return facts.headroom.available_mb >= WHOLE * sum(one.vram_mb for one in missing)


def _is_blocked(state: LeaseState, facts: Facts) -> bool:
    """Tell whether somebody else uses the GPU by now: loading what is owed would evict that model."""
    owed = {full_name(one.name) for one in state.owed}
    others = facts.headroom.others(*facts.ours)
    return any(full_name(one.name) not in owed and one.name not in state.stays for one in others)


def _kept_s(owed: Owed, terms: LeaseTerms) -> float:
    """Say for how long a model is owed while another has its room: until it would have left by itself, at most.

    A model that was to stay for ever is no exception: without a lease, the server would have evicted it for the other.
    """
    longest_s = terms.hold_s + terms.late_s
    return min(owed.keep_alive_s, longest_s) if owed.keep_alive_s >= 0 else longest_s


def is_back(owed: Owed, headroom: VramHeadroom, tries: int) -> bool:
    """Tell whether a model is there as it was.

    It takes one load at least: a model that was told to leave and has not left yet still would.
    """
    if not tries or not headroom.query_success or not headroom.is_resident(owed.name):
        return False
    return is_whole(owed, headroom) or tries >= PARTIAL_TRIES


def is_whole(owed: Owed, headroom: VramHeadroom) -> bool:
    """Tell whether a model that is there has its VRAM, and not a part on the CPU."""
    return headroom.held_by(owed.name) >= WHOLE * owed.vram_mb


def _back(state: LeaseState, facts: Facts, refusal: str | None = None, bar_s: float = 0.0) -> LeaseState:
    return LeaseState(
        Phase.RESTORING,
        facts.now_s,
        owed=state.owed,
        stays=state.stays,
        next_try_s=facts.now_s,
        refusal=refusal,
        barred_until_s=facts.now_s + bar_s if bar_s else NEVER_S,
    )


def _refuse(refusal: str, barred_until_s: float) -> LeaseState:
    return LeaseState(refusal=refusal, barred_until_s=barred_until_s)


def _names(models: Iterable[ResidentModel | Owed]) -> str:
    return ", ".join(one.name for one in models)
