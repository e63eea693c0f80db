"""Getting from peers what the folder must show and this node does not hold: manifests, then blocks."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import trio

from p2pdrive.engine.gather import Gathering, Want
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.show import needs_bytes, temporary_name
from p2pdrive.engine.tasks import Task
from p2pdrive.errors import LinkClosed, ProtocolViolation
from p2pdrive.index.manifests import Manifests as HeldManifests
from p2pdrive.limits import REQUEST_MANIFESTS_MAX
from p2pdrive.model.manifest import ENTRY_BYTES, Manifest
from p2pdrive.model.record import Content
from p2pdrive.net.link import Link
from p2pdrive.planning.fetching import Fetching
from p2pdrive.wire.messages import Blocks, GetBlocks, GetManifestPart, GetManifests

#: Requests of blocks under way at one peer by one gathering: while one is answered, the next waits there.
WORKERS_PER_PEER = 3
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

    async def fetch(self, tasks: Sequence[Task], earlier: frozenset[str]) -> dict[str, str]:
        """Gather the contents of ``tasks`` in their temporaries; returns path → why, where it failed.

        ``earlier`` are the temporaries that were there when the drive was opened: nothing in them, nor in
        those that could not be completed since, nor in those ``not_shown``, is fetched again.
        """
        failed: dict[str, str] = {}
        wants: list[Want] = []
        manifests = await self._manifests(tasks)
        for task in tasks:
            manifest = manifests.get(task.content.root)
            if manifest is None:
                failed[task.path] = NOBODY
            else:
                wants.append(Want(task, manifest))
        gathering = Gathering(self._replica, wants)
        missing = await self._offload(gathering.prepare, earlier | self._begun, self._promised)
        self._promised += gathering.claimed
        try:
            if missing:
                await _Transfer(self._replica, gathering, missing, self._links).run()
        finally:
            self._promised -= gathering.claimed
        self._begun.difference_update(want.name for want in wants)
        self._begun.update(wants[number].name for number in gathering.failed)
        failed.update((wants[number].task.path, why) for number, why in gathering.failed.items())
        return failed

    def not_shown(self, tasks: Iterable[Task]) -> None:
        """What was gathered for ``tasks`` is still in their temporaries, for the next try to show it."""
        self._begun.update(temporary_name(task) for task in tasks if needs_bytes(task))

    async def _manifests(self, tasks: Sequence[Task]) -> dict[bytes, Manifest]:
        contents = {task.content.root: task.content for task in tasks}
        found = await self._offload(self._held_manifests, tasks)
        for link in self._links():
            wanted = [root for root in contents if root not in found]
            if not wanted:
                break
            try:
                await self._ask_manifests(link, wanted, contents, found)
            except LinkClosed:
                continue
            except ProtocolViolation as violation:
                link.close(str(violation))
        return found

    def _held_manifests(self, tasks: Iterable[Task]) -> dict[bytes, Manifest]:
        found = {}
        with self._replica.reading() as log:
            held = HeldManifests(log.connection)
            for content in (task.content for task in tasks):
                manifest = held.get(content.root, content.blocks, content.size)
                if manifest is not None:
                    found[content.root] = manifest
        return found

    async def _ask_manifests(
        self,
        link: Link,
        wanted: list[bytes],
        contents: Mapping[bytes, Content],
        found: dict[bytes, Manifest],
    ) -> None:
        tag = link.tag(self._replica.drive)
        new = []
        while wanted:
            asked, wanted = wanted[:REQUEST_MANIFESTS_MAX], wanted[REQUEST_MANIFESTS_MAX:]
            answer = await link.ask(GetManifests(tag, 0, tuple(asked)))
            offset = 0
            for root, size in zip(asked, answer.sizes, strict=True):
                content = contents[root]
                if size == _HELD_ELSEWHERE:
                    packed = await self._ask_parts(link, root, content.blocks * ENTRY_BYTES)
                elif size >= 0:
                    packed = bytes(answer.payload[offset : offset + size])
                    offset += size
                else:
                    continue
                if packed:
                    found[root] = Manifest.received(packed, root, content.size, content.blocks)
                    new.append(found[root])
        await self._offload(self._keep, new)

    async def _ask_parts(self, link: Link, root: bytes, total: int) -> bytes:
        packed = bytearray()
        while len(packed) < total:
            request = GetManifestPart(link.tag(self._replica.drive), 0, root, len(packed))
            part = await link.ask(request)
            if part.total != total or not part.payload:
                return b""
            packed += part.payload
        return bytes(packed)

    def _keep(self, manifests: Iterable[Manifest]) -> None:
        with self._replica.writing() as log:
            held = HeldManifests(log.connection)
            for manifest in manifests:
                held.put(manifest)


class _Transfer:
    """The blocks of one gathering on their way, from all peers at once."""

    def __init__(
        self,
        replica: Replica,
        gathering: Gathering,
        missing: Sequence[tuple[bytes, int]],
        links: Callable[[], Sequence[Link]],
    ) -> None:
        self._replica = replica
        self._gathering = gathering
        self._fetching = Fetching(missing)
        self._links = links
        self._news = trio.Event()

    async def run(self) -> None:
        """Until every block has come or cannot be had from those who were connected at the start."""
        async with trio.open_nursery() as nursery:
            links = self._links()
            for link in links:
                self._fetching.add_peer(link)
            for link in links:
                for _ in range(WORKERS_PER_PEER):
                    nursery.start_soon(self._work, link)
        if not self._fetching.done:
            self._gathering.give_up(self._fetching.remaining, NOBODY)

    async def _work(self, link: Link) -> None:
        try:
            while not self._fetching.done and self._fetching.knows(link):
                blocks = self._fetching.next_request(link)
                if blocks:
                    await self._request(link, blocks)
                elif self._fetching.under_way:
                    await self._news.wait()  # what another was asked for may come back to us
                else:
                    return
        except LinkClosed:
            self._fetching.remove_peer(link)
        finally:
            self._tell()

    async def _request(self, link: Link, blocks: list[bytes]) -> None:
        tag = link.tag(self._replica.drive)
        allowance = sum(self._fetching.length(block) for block in blocks)
        async with link.request(GetBlocks(tag, 0, tuple(blocks)), allowance) as answers:
            async for answer in answers:
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
