"""The documents say what the code says: tables, examples, commands, and links that lead somewhere."""

import hashlib
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from p2pdrive import __version__
from p2pdrive.blocks.chunking import Chunker, chunk_small
from p2pdrive.cli.main import commands
from p2pdrive.index.schema import MIGRATIONS
from p2pdrive.limits import KIB
from p2pdrive.model.batch import NO_BATCH, Batch, Header, actor_id, body_root, signed_bytes
from p2pdrive.model.genesis import Chunking, Genesis
from p2pdrive.model.record import Content, Kind, Record, decode
from p2pdrive.net.discovery import drive_tag
from p2pdrive.secure.identity import Identity, verify
from p2pdrive.secure.invite import Invite
from p2pdrive.secure.noise import CipherState
from p2pdrive.secure.session import Session
from p2pdrive.wire import connection, messages

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def read(name: str) -> str:
    return (ROOT / name).read_text()


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def between(text: str, name: str) -> str:
    """What stands between the marks of a generated part."""
    return re.split(rf"<!-- {name}: [^\n]*-->\n|<!-- /{name} -->", text)[1]


def anchors(document: Path) -> set[str]:
    """What can be linked to in a document: its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for target in _LINK.findall(_FENCED.sub("", document.read_text())):
            if not target.startswith(("http:", "https:")):
                yield document, target


# --- the wire ------------------------------------------------------------------------------------
def test_protocol_document_has_the_messages_of_the_code() -> None:
    assert between(read("docs/wire-protocol.md"), "messages") == messages.table()


def test_protocol_document_has_the_states_of_the_code() -> None:
    assert between(read("docs/wire-protocol.md"), "states") == connection.table()


# --- worked examples -----------------------------------------------------------------------------
LAPTOP = Identity(bytes(range(32)))
GENESIS = Genesis("Photos", LAPTOP.device, "laptop", bytes(range(16)), 1700000000000 << 16)
NONCE = bytes(range(16, 32))
CLOCK = (1700000000001 << 16) + 1


def example_batch() -> Batch:
    actor = actor_id(LAPTOP.device, NONCE)
    content = Content(
        Kind.FILE, 5, chunk_small(b"hello").root, 1, executable=False, mtime_ns=1700000000123456789
    )
    body = Record("a/b.txt", content, b"", 0, {}, CLOCK).placed(actor, 1).encode()
    header = Header(GENESIS.drive, LAPTOP.device, NONCE, "laptop", 1, 1, NO_BATCH, body_root([body]), CLOCK)
    return Batch(header, LAPTOP.sign(signed_bytes(header.encode())), (body,))


def examples(name: str, heading: str) -> list[str]:
    """The fenced blocks of a section that are all hex or a link, line ends taken out."""
    section = read(name).split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    blocks = [block.strip("`\n").replace("\n", "") for block in _FENCED.findall(section)]
    return [block for block in blocks if re.fullmatch(r"([0-9a-f]{2})+|p2pdrive://\S+", block)]


def test_example_of_the_disk_format_is_what_the_code_makes() -> None:
    batch = example_batch()
    made = (
        GENESIS.encode(),
        GENESIS.drive,
        batch.header.actor,
        batch.records[0],
        batch.header.encode(),
        batch.header.hash,
        batch.signature,
    )
    assert examples("docs/disk-format.md", "### Example") == [value.hex() for value in made]


def test_example_of_the_disk_format_is_accepted_by_the_code() -> None:
    genesis, drive, actor, record, header, _, signature = map(
        bytes.fromhex, examples("docs/disk-format.md", "### Example")
    )
    read_genesis, read_header = Genesis.decode(genesis), Header.decode(header)
    assert read_genesis.drive == drive
    assert read_header.actor == actor
    assert verify(read_genesis.admin, signature, signed_bytes(header))
    change = decode(record, actor, read_header.first)
    assert isinstance(change, Record) and change.path == "a/b.txt"


def test_example_of_an_invite_is_what_the_code_makes() -> None:
    secret = bytes(range(32, 48))
    invite = Invite(GENESIS.drive, "Photos", secret, ("192.0.2.5:4242",), 1700086400, "editor")
    zeros = Session(LAPTOP.device, bytes(32), *(CipherState("AESGCM", bytes(32)) for _ in range(2)))
    proof = invite.prove(LAPTOP.device, "laptop")
    made = (invite.psk, invite.public, invite.id, proof, zeros.tag(GENESIS.drive))
    assert examples("docs/wire-protocol.md", "## Invites") == [invite.link(), *(each.hex() for each in made)]


def test_example_of_a_discovery_tag_is_what_the_code_makes() -> None:
    made = drive_tag(GENESIS.drive, bytes(8)).hex()
    assert examples("docs/wire-protocol.md", "## Finding each other") == [made]


# --- the disk ------------------------------------------------------------------------------------
def test_disk_format_describes_every_table_of_the_index() -> None:
    statements = [statement for migration in MIGRATIONS for statement in migration]
    tables = {found[1] for each in statements if (found := re.match(r"CREATE TABLE (\w+)", each))}
    described = set(re.findall(r"^\*\*(\w+)\*\*", read("docs/disk-format.md"), re.MULTILINE))
    assert described == tables


def test_disk_format_names_every_column_of_the_index() -> None:
    text = read("docs/disk-format.md").split("## index.db\n", 1)[1].split("\n## ", 1)[0]
    words = set(re.findall(r"\w+", text))
    for migration in MIGRATIONS:
        for statement in migration:
            if statement.startswith("CREATE TABLE"):
                columns = re.findall(r"(\w+) (?:INTEGER|BLOB|TEXT)", statement)
                assert set(columns) <= words, statement


def cut_as_written(content: bytes, chunking: Chunking) -> list[int]:
    """Lengths of blocks, by "Cutting" in the disk format alone."""
    section = read("docs/disk-format.md").split("### Cutting\n", 1)[1]
    masks = {int(bits): int(mask, 16) for bits, mask in re.findall(r"(\d+) (0x[0-9a-f]{16})", section)}
    gear = [int.from_bytes(hashlib.md5(bytes([each]) * 64).digest()[:8], "big") for each in range(256)]
    bits = round(math.log2(chunking.average))
    small, large = masks[bits + chunking.normalisation], masks[bits - chunking.normalisation]
    lengths = []
    while content:
        length = _first_cut(content, chunking, gear, small, large)
        lengths.append(length)
        content = content[length:]
    return lengths


def _first_cut(content: bytes, chunking: Chunking, gear: list[int], small: int, large: int) -> int:
    if len(content) <= chunking.minimum:
        return len(content)
    end = min(len(content), chunking.maximum)
    center = min(chunking.average, end)
    number = 0
    for at in range(chunking.minimum & ~1, end & ~1, 2):
        mask = small if at < center & ~1 else large
        number = ((number << 2) + (gear[content[at]] << 1)) % (1 << 64)
        if number & (mask << 1) == 0:
            return at
        number = (number + gear[content[at + 1]]) % (1 << 64)
        if number & mask == 0:
            return at + 1
    return end


@pytest.mark.parametrize("normalisation", [0, 1, 2, 3])
def test_cutting_as_written_gives_the_blocks_of_the_code(normalisation: int) -> None:
    chunking = Chunking(4 * KIB + 1, 16 * KIB - 1, 64 * KIB - 3, normalisation)
    content = blake3(b"any content").digest(length=400_001)
    manifest = Chunker(chunking).chunk(io.BytesIO(content).readinto)
    assert cut_as_written(content, chunking) == [length for length, _ in manifest]


# --- the README and the rest ---------------------------------------------------------------------
def test_readme_begins_with_its_two_commands() -> None:
    first = _FENCED.findall(read("README.md"))[0]
    programs = [line.split()[0] for line in first.splitlines()[1:-1]]
    assert programs == ["scripts/p2pdrive", "scripts/test"]
    assert all((ROOT / program).is_file() for program in programs)


def test_readme_lists_every_command_with_its_options() -> None:
    rows = dict(re.findall(r"^\| `(\w+)([^`]*)` \|", read("README.md"), re.MULTILINE))
    assert list(rows) == list(commands.commands)
    common = {"--home", "--debug", "--help"}
    for name, command in commands.commands.items():
        options = {option for parameter in command.params for option in parameter.opts if option[0] == "-"}
        assert set(re.findall(r"--[a-z-]+", rows[name])) == options - common, name


def test_changelog_has_the_present_version() -> None:
    assert re.search(rf"^## {re.escape(__version__)}\b", read("CHANGELOG.md"), re.MULTILINE)


@pytest.mark.parametrize(
    ("document", "target"), list(links()), ids=lambda value: str(value).rpartition("/")[2]
)
def test_link_leads_somewhere(document: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    destination = (document.parent / path).resolve() if path else document
    assert destination.exists(), f"{named(document)} links to {target}"
    assert not anchor or anchor in anchors(destination), f"{named(document)} links to {target}"
