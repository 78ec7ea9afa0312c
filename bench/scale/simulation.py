"""Runs a scenario through to its last document."""

from functools import partial

from bench.scale.clock import Clock
from bench.scale.fleet import Fleet, Queue
from bench.scale.outcome import Account, Outcome, outcome
from bench.scale.scenario import Design, Scenario
from bench.scale.spread import Spread
from bench.scale.turns import Turns
from bench.scale.whole import Whole

QUEUES: dict[Design, type[Turns | Whole | Spread]] = {
    Design.TURNS: Turns,
    Design.WHOLE: Whole,
    Design.SPREAD: Spread,
}


def simulate(scenario: Scenario, design: Design = Design.TURNS) -> Outcome:
    """Let the documents come and be read until all are done.

    Raises:
        StuckError: they never are.
    """
    clock, account = Clock(), Account(scenario)
    fleet = Fleet(scenario, design, clock, account)
    queue: Queue = QUEUES[design](fleet)
    fleet.queue = queue
    for document in scenario.documents:
        clock.after(document.arrives_s, partial(queue.arrive, document))
    for fault in scenario.faults:
        fleet.plan(fault)
    if scenario.scaling:
        fleet.scale(scenario.scaling)
    clock.run(lambda: account.is_complete)
    for pod in fleet.pods:
        pod.pay_no_more()
    return outcome(account, sum(pod.busy_s for pod in fleet.pods), sum(pod.paid_s for pod in fleet.pods))
