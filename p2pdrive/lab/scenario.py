"""One scenario: a schedule drawn from a seed, carried out; then all is healed and must come to rest."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import trio

from p2pdrive.lab.checkers import checkers
from p2pdrive.lab.faults import FAULTS, SUDDEN, Scene
from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.oddities import draw
from p2pdrive.lab.oracle import Violation
from p2pdrive.lab.people import ACTIONS, act
from p2pdrive.lab.person import Person
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import REST_SECONDS, World, within_world

NAMES = ("laptop", "desktop", "server", "phone", "tablet", "attic", "office", "cabin")

#: The step by which a machine becomes a member: the first one makes the drive.
JOIN = "join"
#: Of all steps, the share that are faults, and of the actions and kills, the share that happen in the midst
#: of an operation of the node on its folder.
_FAULTS = 0.12
_AMBUSHES = 0.3
#: Steps between two looks of the checkers.
_CHECK_EVERY = 10
#: Seconds between two steps, before a random factor; and how often each.
_PAUSES, _PAUSE_WEIGHTS = (0.0, 0.02, 0.3, 3.0, 30.0), (20, 40, 30, 10, 1)
#: Where an ambush may be laid: operations of ``Files`` and their steps, by how they begin.
_PLACES = (
    "",
    "",
    "publish",
    "move",
    "remove",
    "open",
    "list",
    "stat",
    "sync",
    "finish",
    "make",
    "set",
    "discard",
)


@dataclass(frozen=True)
class Step:
    """``act`` (an action or a fault) on ``machine``, ``pause`` seconds after the step before.

    ``draw`` seeds what it does in detail. ``ambush``: when, in which operation, after how many of those.
    """

    number: int
    pause: float
    machine: str
    act: str
    draw: int
    ambush: tuple[str, str, int] | None = None

    def __str__(self) -> str:
        where = (
            f" {self.ambush[0]} {self.ambush[1] or 'any operation'} +{self.ambush[2]}" if self.ambush else ""
        )
        return f"{self.number:4} after {self.pause:.2f} s: {self.machine} {self.act}{where}"


@dataclass(frozen=True)
class Setting:
    """Which machines there are, and how they are."""

    roles: tuple[str, ...]
    grains_ns: tuple[int, ...]
    latency: float
    oddities: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the machines."""
        return NAMES[: len(self.roles)]


@dataclass(frozen=True)
class Scenario:
    """All that makes a run what it is. ``salt``: other than 0 where chance is to fall differently."""

    seed: int
    setting: Setting
    steps: tuple[Step, ...]
    salt: int = 0


@dataclass
class Outcome:
    """How a run went: ``violation`` is None where all promises were kept."""

    scenario: Scenario
    violation: Violation | None = None
    digest: str = ""
    lines: list[str] = field(default_factory=list)
    virtual_seconds: float = 0.0


def plan(seed: int, nodes: int, steps: int, faults: Sequence[str] | None = None) -> Scenario:
    """The scenario of a seed. ``faults`` are those that may happen; None for all."""
    random = Random(f"{seed} schedule")
    roles = ["admin", *("editor" for _ in range(nodes - 1))]
    if nodes > 2 and random.random() < 0.3:
        roles[-1] = "viewer"
    grains = tuple(random.choice((1, 1, 4_000_000, 10_000_000)) for _ in roles)
    disks = Random(f"{seed} disks")
    oddities = tuple(draw(disks) for _ in roles)
    setting = Setting(tuple(roles), grains, random.choice((0.0001, 0.001, 0.02)), oddities)
    chosen = {name: weight for name, (_, weight) in FAULTS.items() if faults is None or name in faults}
    # Not everything always: a few kinds of faults at a time show more than a little of each.
    kinds = [name for name in chosen if random.random() < 0.6]
    rate = random.choice((0.02, _FAULTS, 2 * _FAULTS)) if kinds else 0.0
    made = [_step(random, setting, kinds, rate) for _ in range(steps)]
    _add_joins(random, setting, made)
    return Scenario(seed, setting, tuple(replace(step, number=at) for at, step in enumerate(made, 1)))


def _add_joins(random: Random, setting: Setting, made: list[Step]) -> None:
    """The drive is made and joined: mostly at once, sometimes after the first edits, sometimes late."""
    begin = min(random.choice((0, 0, 5)), len(made))
    made.insert(begin, Step(0, 0.01, setting.names[0], JOIN, 0))
    for name in setting.names[1:]:
        later = random.choice((1, 1, 1, 5, 30))
        made.insert(min(begin + later, len(made)), Step(0, 0.01, name, JOIN, 0))


def _step(random: Random, setting: Setting, kinds: list[str], rate: float) -> Step:
    pause = random.choices(_PAUSES, _PAUSE_WEIGHTS)[0] * 2 * random.random()
    machine = random.choice(setting.names)
    draw = random.getrandbits(32)
    if random.random() < rate:
        name = random.choices(kinds, [FAULTS[kind][1] for kind in kinds])[0]
        sudden = name in SUDDEN and random.random() < 2 * _AMBUSHES
    else:
        name = random.choices(list(ACTIONS), [weight for _, weight in ACTIONS.values()])[0]
        sudden = random.random() < _AMBUSHES
    ambush = None
    if sudden:
        ambush = (random.choice(("before", "after")), random.choice(_PLACES), random.randrange(12))
    return Step(0, round(pause, 3), machine, name, draw, ambush)


def run(scenario: Scenario) -> Outcome:
    """Carry it out. Never raises a Violation, nor what fails in the lab itself: the outcome holds it."""
    outcome = Outcome(scenario)
    seed = scenario.seed + (scenario.salt << 64)

    async def main(world: World) -> None:
        try:
            await _Run(world, scenario).run()
        except Violation as violation:
            outcome.violation = violation
        finally:
            outcome.digest = world.trace.digest()
            outcome.lines = world.trace.lines
            outcome.virtual_seconds = world.trace.seconds

    try:
        run_simulated(lambda: within_world(seed, main), seed)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be told with its schedule
        outcome.violation = Violation("NoUnexpectedFailure", "".join(traceback.format_exception(error)))
    return outcome


class _Run:
    def __init__(self, world: World, scenario: Scenario) -> None:
        self._world = world
        self._scenario = scenario
        self._checkers = checkers()

    async def run(self) -> None:
        self._set_up()
        for step in self._scenario.steps:
            await trio.sleep(step.pause)
            self._take(step)
            if step.number % _CHECK_EVERY == 0:
                self._check(lambda checker: checker.during(self._world))
        await self._world.heal()
        await self._world.converge()
        self._check(lambda checker: checker.at_rest(self._world))
        await trio.sleep(REST_SECONDS)
        self._check(lambda checker: checker.after(self._world))
        self._world.note("digest", "-", trees=_trees(self._world))

    def _check(self, look: Callable[..., None]) -> None:
        self._world.failures.check()
        for checker in self._checkers:
            look(checker)

    def _set_up(self) -> None:
        world, setting = self._world, self._scenario.setting
        world.network.usual.latency = setting.latency
        oddities = setting.oddities or ("",) * len(setting.roles)
        for name, role, grain_ns, oddity in zip(
            setting.names, setting.roles, setting.grains_ns, oddities, strict=True
        ):
            world.add_machine(name, role, grain_ns=grain_ns, oddity=oddity)

    def _take(self, step: Step) -> None:
        machine = self._world.machine(step.machine)
        if step.ambush is None:
            self._act(step, machine, "")
        else:
            machine.ambushes.append(Ambush(*step.ambush, lambda path: self._act(step, machine, path)))

    def _act(self, step: Step, machine: Machine, hint: str) -> None:
        with self._world.secrets.person_at(machine.name, machine.disk.volume):
            self._act_unseen(step, machine, hint)

    def _act_unseen(self, step: Step, machine: Machine, hint: str) -> None:
        random = Random(step.draw)
        if step.act == JOIN:
            world = self._world
            world.nursery.start_soon(world.join if machine is not world.machines[0] else world.share, machine)
        elif step.act in ACTIONS:
            act(Person(self._world, machine, random, step.number, hint), step.act)
        else:
            self._world.note(step.act, machine.name, step=step.number)
            FAULTS[step.act][0](Scene(self._world, machine, random))


def _trees(world: World) -> str:
    return "; ".join(f"{machine.name}: {sorted(machine.disk.tree().items())}" for machine in world.machines)
