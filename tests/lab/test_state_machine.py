"""Hypothesis draws the schedule of the simulated world, so that a failing one shrinks."""

from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from p2pdrive.lab.faults import FAULTS, SUDDEN
from p2pdrive.lab.people import ACTIONS
from p2pdrive.lab.scenario import JOIN, NAMES, Scenario, Setting, Step, run
from tests.lab.simulated import plant_violation

MACHINES = NAMES[:2]
#: Without those that overwrite a folder, perhaps the only one that held what somebody did: then none may know
#: it any more.
HAPPENINGS = sorted(set(FAULTS) - {"restore", "copy folder"})
#: As often as in scenarios that a seed draws.
ACTS = [name for name, (_, weight) in ACTIONS.items() for _ in range(weight)]
_machines = st.sampled_from(MACHINES)
_pauses = st.sampled_from((0.0, 0.02, 0.5, 5.0))
_draws = st.integers(0, 1 << 16)
_operations = st.sampled_from(("", "publish", "publish:judge", "move", "remove", "open", "list", "discard"))


class Swarm(RuleBasedStateMachine):
    """Two machines. What the rules draw is carried out as one scenario, whenever all is to come to rest."""

    #: Those that kept all promises. They would again: what is drawn a second time is not run a second time.
    kept: ClassVar[set[Scenario]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    @initialize(role=st.sampled_from(("editor", "viewer")), grain_ns=st.sampled_from((1, 10_000_000)))
    def begin(self, role: str, grain_ns: int) -> None:
        self.setting = Setting(("admin", role), (grain_ns, 1), 0.001)
        for name in MACHINES:
            self.add(name, JOIN, 0.01, 0)

    @rule(machine=_machines, act=st.sampled_from(ACTS), pause=_pauses, draw=_draws)
    def people_act(self, machine: str, act: str, pause: float, draw: int) -> None:
        self.add(machine, act, pause, draw)

    @rule(machine=_machines, act=st.sampled_from(HAPPENINGS), pause=_pauses, draw=_draws)
    def something_happens(self, machine: str, act: str, pause: float, draw: int) -> None:
        self.add(machine, act, pause, draw)

    @rule(
        machine=_machines,
        act=st.sampled_from((*ACTS, *SUDDEN * 4)),
        when=st.sampled_from(("before", "after")),
        operation=_operations,
        count=st.integers(0, 5),
        draw=_draws,
    )
    def in_the_midst(self, machine: str, act: str, when: str, operation: str, count: int, draw: int) -> None:
        self.add(machine, act, 0.0, draw, (when, operation, count))

    def add(
        self, machine: str, act: str, pause: float, draw: int, ambush: tuple[str, str, int] | None = None
    ) -> None:
        self.steps.append(Step(len(self.steps) + 1, pause, machine, act, draw, ambush))

    @rule(now=st.sampled_from((True, False, False)))
    def come_to_rest(self, now: bool) -> None:
        """Now and then. A rule, as Hypothesis leaves out only what was drawn before a rule that failed."""
        if not now or len(self.steps) <= len(MACHINES):
            return
        end = Step(
            len(self.steps) + 1, 1.0, MACHINES[0], "touch", 0
        )  # what has begun ends before the healing
        self.carry_out(Scenario(0, self.setting, (*self.steps, end)))

    def carry_out(self, scenario: Scenario) -> None:
        if scenario in self.kept:
            return
        outcome = run(scenario)
        assert outcome.violation is None, "\n".join((str(outcome.violation), *outcome.lines))
        self.kept.add(scenario)


#: The same examples each time: fresh ones are drawn in ``test_fresh_seeds.py``.
SETTINGS = settings(stateful_step_count=40, derandomize=True, deadline=None)
#: Shrinking takes a run for each try, so it begins with little; and nothing is to be explained.
PHASES = (Phase.generate, Phase.shrink)
FEW_STEPS = settings(SETTINGS, stateful_step_count=12, max_examples=1000, phases=PHASES)

TestSwarm = pytest.mark.timeout(400)(Swarm.TestCase)  # one test to pytest, of dozens of scenarios
TestSwarm.settings = SETTINGS


def test_a_failing_schedule_shrinks_to_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_violation(monkeypatch, "write")
    carried_out: list[list[Step]] = []

    class Watched(Swarm):
        kept: ClassVar[set[Scenario]] = set()

        def carry_out(self, scenario: Scenario) -> None:
            carried_out.append(list(self.steps))
            super().carry_out(scenario)

    with pytest.raises(AssertionError, match="NoInventedContent: planted"):
        run_state_machine_as_test(Watched, settings=FEW_STEPS)
    acts = [step.act for step in carried_out[-1]]  # Hypothesis shows the shortest one at the end
    assert acts[:2] == [JOIN, JOIN]
    assert acts[2:].count("write") == 2  # the first one makes the file
    assert len(acts) <= 5
