"""Seeds that found bugs once: they keep all promises now, whatever they do as the lab grows."""

import pytest

from p2pdrive.lab.scenario import plan, run

#: Fails as PrivateStaysPrivate on some runs.
SOMETIMES = pytest.mark.xfail(reason="PrivateStaysPrivate is to be looked into", strict=False)


@pytest.mark.parametrize(
    "seed",
    [
        6,
        46,
        63,
        310,
        711,
        3007,
        3020,
        3049,
        4097,
        4138,
        # On a disk without modes (FAT) a file is exchanged with one of a private folder as the node changes
        # that one: the file is open elsewhere. To be mended; nothing is lost.
        pytest.param(4155, marks=SOMETIMES),
        4187,
        4190,
        5002,
        5015,
        5062,
        5296,
        20032,
        20280,
        20357,
        20410,
        900003,
        278386596,
        459712659,
        590126418,
        932589843,
        1219930622,
        1349064444,
        1473888302,
        1770769041,
        1781128149,
        2083574787,
        2724184641,
        2917179284,
        2922687981,
        2958160293,
        3148352512,
        3235800698,
        3254811693,
        3422723606,
        3525523583,
        3574261933,
        3763238119,
        3806413205,
        3866129263,
        4202499110,
        4279279513,
    ],
)
def test_seed_that_found_a_bug_keeps_all_promises(seed: int) -> None:
    outcome = run(plan(seed, 3, 200))
    assert outcome.violation is None, "\n".join(outcome.lines[-60:])
