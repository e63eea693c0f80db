"""What is answered to who asks for manifests, and what that costs."""

from typing import Any

import pytest
from trio.testing import MockClock

from p2pdrive.engine.replica import Replica
from p2pdrive.engine.serve import _manifest_part, _manifests
from p2pdrive.index.manifests import Manifests as HeldManifests
from p2pdrive.limits import PAYLOAD_BYTES_MAX, REQUEST_MANIFESTS_MAX
from p2pdrive.model.manifest import ENTRY_BYTES, Manifest
from p2pdrive.wire.messages import GetManifestPart, GetManifests, ManifestPart, Manifests
from tests.engine.world import World

TAG = bytes(8)
SMALL = Manifest(bytes(ENTRY_BYTES * 3))
HALF = Manifest(b"h" * (PAYLOAD_BYTES_MAX // 2 // ENTRY_BYTES * ENTRY_BYTES))
LARGE = Manifest(b"l" * ((2 * PAYLOAD_BYTES_MAX // ENTRY_BYTES + 1) * ENTRY_BYTES))


@pytest.fixture
async def replica(world: World, autojump_clock: MockClock) -> Replica:
    (anna,) = await world.sharing("anna", files={"a.txt": "a"})
    with anna.replica.writing() as log:
        for manifest in (SMALL, HALF, LARGE):
            HeldManifests(log.connection).put(manifest)
    return anna.replica


def ask(replica: Replica, *roots: bytes) -> tuple[tuple[int, ...], bytes]:
    answer, parts = next(_manifests(replica, GetManifests(TAG, 1, roots)))
    assert isinstance(answer, Manifests)
    return answer.sizes, b"".join(parts)


def ask_part(replica: Replica, root: bytes, offset: int) -> tuple[int, bytes]:
    answer, parts = next(_manifest_part(replica, GetManifestPart(TAG, 1, root, offset)))
    assert isinstance(answer, ManifestPart)
    return answer.total, b"".join(parts)


async def test_those_that_fit_come_and_the_others_are_named(replica: Replica) -> None:
    roots = (LARGE.root, SMALL.root, bytes(32), HALF.root, SMALL.root)
    sizes, payload = ask(replica, *roots)
    assert sizes == (-2, len(SMALL.packed), -1, len(HALF.packed), len(SMALL.packed))
    assert payload == SMALL.packed + HALF.packed + SMALL.packed
    sizes, payload = ask(replica, *[HALF.root] * 3)
    assert sizes == (len(HALF.packed), len(HALF.packed), -2)
    assert len(payload) <= PAYLOAD_BYTES_MAX


async def test_large_one_comes_in_parts(replica: Replica) -> None:
    packed = b""
    while len(packed) < len(LARGE.packed):
        total, part = ask_part(replica, LARGE.root, len(packed))
        assert total == len(LARGE.packed)
        assert 0 < len(part) <= PAYLOAD_BYTES_MAX
        packed += part
    assert packed == LARGE.packed
    for offset in (len(packed), len(packed) + 1, 150_994_944):
        assert ask_part(replica, LARGE.root, offset) == (len(packed), b"")
    assert ask_part(replica, bytes(32), 0) == (0, b"")


@pytest.mark.parametrize("manifest", [LARGE, SMALL])
async def test_one_that_is_named_again_and_again_is_read_once_at_most(
    replica: Replica, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took a second for each hundred MiB, for an answer of nothing."""
    calls: list[str] = []

    def counting(name: str) -> Any:
        work = getattr(HeldManifests, name)
        return lambda *arguments: [calls.append(name), work(*arguments)][1]

    for name in ("find", "length", "part"):
        monkeypatch.setattr(HeldManifests, name, counting(name))
    ask(replica, *[manifest.root] * REQUEST_MANIFESTS_MAX)
    assert calls == (["length"] if manifest is LARGE else ["length", "part"])
