"""Getting from peers what the folder must show and this node does not hold: manifests, then blocks."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import trio

from p2pdrive.engine.gather import CONTRADICTS, Gathering, Want
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.show import needs_bytes, temporary_name
from p2pdrive.engine.tasks import Task
from p2pdrive.errors import LinkClosed, ProtocolViolation
from p2pdrive.index.manifests import Manifests as HeldManifests
from p2pdrive.limits import BLOCK_BYTES_MAX, REQUEST_MANIFESTS_MAX, REQUESTS_PER_RUN
from p2pdrive.model.manifest import ENTRY_BYTES, Manifest
from p2pdrive.model.record import Content
from p2pdrive.net.link import Link
from p2pdrive.planning.fetching import Fetching
from p2pdrive.wire.messages import Blocks, GetBlocks, GetManifestPart, GetManifests

NOBODY = "no connected device has this content. It is fetched as soon as one that has it connects."
_HELD_ELSEWHERE = -2


class Fetcher:
    """Fetches for one drive from the links that ``links`` names, all of them at once."""

    def __init__(self, replica: Replica, links: Callable[[], Sequence[Link]]) -> None:
        self._replica = replica
        self._links = links
        self._offload = replica.services.offload
        self._begun: set[str] = set()  # temporaries that wait: for a peer to come back, say
        self._promised = 0  # bytes of disk that what is under way needs
        self._too_little: dict[str, int] = {}  # temporary → bytes that were free, and not enough for it
        self._contradicting: set[tuple[bytes, int, int]] = set()  # found to be so; that cannot change

    async def fetch(
        self, tasks: Sequence[Task], earlier: frozenset[str], urgency: int | None
    ) -> dict[str, str]:
        """Gather the contents of ``tasks`` in their temporaries; returns path → why, where it failed.

        ``earlier`` are the temporaries that were there when the drive was opened: nothing in them, nor in
        those that could not be completed since, nor in those ``not_shown``, is fetched again. ``urgency`` is
        as ``Turns`` says.
        """
        failed: dict[str, str] = {}
        wants: list[Want] = []
        manifests = await self._manifests(tasks)
        for task in tasks:
            manifest = _manifest_of(task.content, manifests)
            if _claim(task.content) in self._contradicting:
                failed[task.path] = CONTRADICTS
            elif manifest is None:
                failed[task.path] = NOBODY
            else:
                wants.append(Want(task, manifest))
        gathering = Gathering(self._replica, wants, self._too_little)
        missing = await self._offload(gathering.prepare, earlier | self._begun, self._promised)
        self._promised += gathering.claimed
        try:
            if missing:
                await _Transfer(self._replica, gathering, missing, self._links, urgency).run()
        finally:
            self._promised -= gathering.claimed
        self._begun.difference_update(want.name for want in wants)
        for number, why in gathering.failed.items():
            failed[wants[number].task.path] = why
            if why == CONTRADICTS:
                self._contradicting.add(_claim(wants[number].task.content))
            else:
                self._begun.add(wants[number].name)
        return failed

    def not_shown(self, tasks: Iterable[Task]) -> None:
        """What was gathered for ``tasks`` is still in their temporaries, for the next try to show it."""
        self._begun.update(temporary_name(task) for task in tasks if needs_bytes(task))

    async def _manifests(self, tasks: Sequence[Task]) -> dict[bytes, Manifest]:
        """Root → what hashes to it, whatever records say of it, for contents of several blocks."""
        counts: dict[bytes, set[int]] = {}  # root → the numbers of blocks that records say
        for content in (task.content for task in tasks):
            if content.blocks > 1 and _claim(content) not in self._contradicting:
                counts.setdefault(content.root, set()).add(content.blocks)
        if not counts:
            return {}
        found = await self._offload(self._held_manifests, counts)
        for link in self._links():
            wanted = {root: counts[root] for root in counts if root not in found}
            if not wanted:
                break
            try:
                found.update(await self._ask_manifests(link, wanted))
            except LinkClosed:
                continue
            except ProtocolViolation as violation:
                link.close(str(violation))
        return found

    def _held_manifests(self, roots: Iterable[bytes]) -> dict[bytes, Manifest]:
        with self._replica.reading() as log:
            held = HeldManifests(log.connection)
            found = ((root, held.find(root)) for root in roots)
            return {root: manifest for root, manifest in found if manifest is not None}

    async def _ask_manifests(self, link: Link, counts: Mapping[bytes, set[int]]) -> dict[bytes, Manifest]:
        tag = link.tag(self._replica.drive)
        received: dict[bytes, bytes] = {}
        wanted = list(counts)
        while wanted:
            asked, wanted = wanted[:REQUEST_MANIFESTS_MAX], wanted[REQUEST_MANIFESTS_MAX:]
            answer = await link.ask(GetManifests(tag, 0, tuple(asked)))
            offset = 0
            for root, size in zip(asked, answer.sizes, strict=True):
                if size == _HELD_ELSEWHERE:
                    received[root] = await self._ask_parts(link, root, counts[root])
                elif size >= 0:
                    received[root] = bytes(answer.payload[offset : offset + size])
                    offset += size
        packed = {root: data for root, data in received.items() if data}
        return await self._offload(self._keep, packed) if packed else {}

    async def _ask_parts(self, link: Link, root: bytes, counts: set[int]) -> bytes:
        packed = bytearray()
        while True:
            request = GetManifestPart(link.tag(self._replica.drive), 0, root, len(packed))
            part = await link.ask(request)
            if part.total not in {count * ENTRY_BYTES for count in counts} or not part.payload:
                return b""
            packed += part.payload
            if len(packed) >= part.total:
                return bytes(packed)

    def _keep(self, received: Mapping[bytes, bytes]) -> dict[bytes, Manifest]:
        """Hold what peers sent, by root. Raises ProtocolViolation."""
        manifests = {root: _checked(packed, root) for root, packed in received.items()}
        with self._replica.writing() as log:
            held = HeldManifests(log.connection)
            for manifest in manifests.values():
                held.put(manifest)
        return manifests


def _claim(content: Content) -> tuple[bytes, int, int]:
    """What a record says that its hash may not bear out."""
    return (content.root, content.blocks, content.size)


def _manifest_of(content: Content, found: Mapping[bytes, Manifest]) -> Manifest | None:
    if content.blocks > 1:
        return found.get(content.root)
    return Manifest.single(content.size, content.root) if content.blocks else Manifest(b"")


def _checked(packed: bytes, root: bytes) -> Manifest:
    """By its hash, not by what records say: they are no fault of the sender. Raises ProtocolViolation."""
    blocks = len(packed) // ENTRY_BYTES
    if blocks < 2:
        raise ProtocolViolation("a manifest has not several blocks")
    size = Manifest(packed[: blocks * ENTRY_BYTES]).size
    return Manifest.received(packed, root, size, blocks)


class _Transfer:
    """The blocks of one gathering on their way, from all peers at once."""

    def __init__(
        self,
        replica: Replica,
        gathering: Gathering,
        missing: Sequence[tuple[bytes, int]],
        links: Callable[[], Sequence[Link]],
        urgency: int | None,
    ) -> None:
        self._replica = replica
        self._urgency = urgency
        self._gathering = gathering
        self._fetching = Fetching(missing)
        self._links = links
        self._news = trio.Event()
        self._waiting_for_turns: set[trio.CancelScope] = set()

    async def run(self) -> None:
        """Until every block has come or cannot be had from those who were connected at the start."""
        async with trio.open_nursery() as nursery:
            links = self._links()
            for link in links:
                self._fetching.add_peer(link)
            for link in links:
                for _ in range(REQUESTS_PER_RUN):
                    nursery.start_soon(self._work, link)
        if not self._fetching.done:
            self._gathering.give_up(self._fetching.remaining, NOBODY)

    async def _work(self, link: Link) -> None:
        try:
            while not self._fetching.done and self._fetching.knows(link):
                if not await self._take_turn(link):
                    return
                blocks = self._next_request(link)
                if blocks:
                    await self._request(link, blocks)
                    continue
                link.turns.pass_on()
                if not self._fetching.under_way:
                    return
                await self._news.wait()  # what another was asked for may come back to us
        except LinkClosed:
            self._fetching.remove_peer(link)
        finally:
            self._tell()

    async def _take_turn(self, link: Link) -> bool:
        """Wait for a turn on ``link``; False where all has come meanwhile."""
        with trio.CancelScope() as scope:
            self._waiting_for_turns.add(scope)
            await link.turns.take(self._urgency)
        self._waiting_for_turns.discard(scope)
        return not scope.cancelled_caught

    def _next_request(self, link: Link) -> list[bytes]:
        if self._fetching.done or not self._fetching.knows(link):
            return []
        return self._fetching.next_request(link, link.turns.window.request_bytes)

    async def _request(self, link: Link, blocks: list[bytes]) -> None:
        tag = link.tag(self._replica.drive)
        allowance = len(blocks) * BLOCK_BYTES_MAX  # how long they are said to be is anybody's word
        with link.turns.asking(self._fetching.length(blocks)) as asked:
            async with link.request(GetBlocks(tag, 0, tuple(blocks)), allowance) as answers:
                async for answer in answers:
                    link.turns.came(asked, len(answer.payload))
                    await self._take(link, blocks, answer)

    async def _take(self, link: Link, blocks: list[bytes], answer: Blocks) -> None:
        pieces = []
        offset = 0
        payload = memoryview(answer.payload)
        for index, length in answer.pieces:
            pieces.append((blocks[index], payload[offset : offset + length]))
            offset += length
        wrong = await self._replica.services.offload(self._gathering.deliver, pieces)
        for block, _ in pieces:
            if block not in wrong:
                self._fetching.arrived(block)
        for block in (*wrong, *(blocks[index] for index in answer.missing)):
            self._fetching.lacks(link, block)
        self._tell()
        if wrong:
            link.close("a block is not what its hash says")

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()
        if self._fetching.done:
            for scope in self._waiting_for_turns:
                scope.cancel()
