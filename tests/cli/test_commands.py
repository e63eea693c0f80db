import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pdrive.api.control import Joined
from p2pdrive.cli.main import main
from p2pdrive.engine.status import DriveState, NodeStatus
from p2pdrive.errors import InviteError
from p2pdrive.folder.defaults import LINES
from p2pdrive.node.home import Home

LINK = "p2pdrive://join/AQID"


@pytest.fixture
def home(home_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("P2PDRIVE_HOME", str(home_path))
    return home_path


async def run(*arguments: object) -> int:
    """The command in a thread of its own, while the API is served in this one."""
    return await trio.to_thread.run_sync(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [["status"], ["wait"], ["log", "x"], ["devices"]])
def test_no_node_running_is_exit_code_4(home, capsys, command) -> None:
    assert main(command) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert "p2pdrive run" in told.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["share"],
        ["join", "only-one"],
        ["share", ".", "--role", "king"],
        ["share", ".", "--uses", "0"],
        ["share", ".", "--uses", "1000001"],
        ["share", ".", "--expires", "9999999d"],
        ["share", ".", "--expires", "soon"],
        ["share", ".", "--expires", "1d2"],
        ["share", ".", "--expires", "-1h"],
        ["share", ".", "--name", "a/b"],
        ["share", ".", "--name", "x" * 65],
        ["wait", "--timeout", "-1"],
        ["wait", "--timeout", "soon"],
        ["status", "--unknown"],
    ],
)
def test_wrong_usage_is_exit_code_2(home, capsys, arguments) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Usage:" in told.err
    assert "Traceback" not in told.err


def test_version_and_help_are_exit_code_0(capsys) -> None:
    assert main(["--version"]) == 0
    assert main(["share", "--help"]) == 0
    assert main(["-h"]) == 0
    out = capsys.readouterr().out
    commands = [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line]
    assert commands == ["share", "join", "status", "wait", "run", "log", "devices", "ignore", "leave", "lab"]


async def test_share_prints_the_link_alone_on_stdout(socket, control, home, capsys) -> None:
    assert await run("share", "/srv/Photos", "--role", "viewer", "--expires", "7d", "--uses", 2) == 0
    assert capsys.readouterr().out == LINK + "\n"
    assert control.asked == [("share", "/srv/Photos", None, "viewer", 2, 7 * 24 * 3600, False)]


@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("never", 0)]
)
async def test_expiry_in_words(socket, control, home, given, seconds) -> None:
    assert await run("share", "/srv/Photos", "--expires", given) == 0
    assert control.asked[0][5] == seconds


async def test_paths_are_made_absolute_where_the_person_stands(
    socket, control, home, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/anna")
    assert await run("join", LINK, "sub/../here") == 0
    assert await run("leave", "~/there", "--forget") == 0
    assert control.asked == [
        ("join", LINK, os.path.join(tmp_path, "here"), False),
        ("leave", "/home/anna/there", True),
    ]


async def test_whole_home_is_shared_only_with_a_yes(socket, control, home, capsys) -> None:
    assert await run("share", "/home/anna") == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "p2pdrive: /home/anna is a whole home folder.\n")
    assert await run("share", "/home/anna", "--yes") == 0
    assert [asked[-1] for asked in control.asked] == [False, True]


@pytest.mark.parametrize("answer", ["y", "n"])
async def test_person_at_a_terminal_is_asked(socket, control, home, capsys, monkeypatch, answer) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    assert await run("share", "/home/anna") == (0 if answer == "y" else 1)
    told = capsys.readouterr()
    assert "/home/anna is a whole home folder.\nGo on? [y/N]" in told.err
    assert told.out == (LINK + "\n" if answer == "y" else "")


async def test_errors_of_the_node_are_one_sentence_on_stderr(socket, home, capsys) -> None:
    assert await run("join", "nonsense", "x") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "p2pdrive: That is no invite.\n"


async def test_a_refused_join_leaves_no_folder_that_it_made(
    socket, control, home, tmp_path, monkeypatch
) -> None:
    """But one that was there before, or has something in it, stays."""

    def make(path: str) -> None:
        Path(path).mkdir(exist_ok=True)
        if path.endswith("in use"):
            Path(path, "file").write_text("a person's")

    async def refuse(link: str, path: str, yes: bool) -> Joined:
        make(path)
        raise InviteError("This invite is used up.")

    monkeypatch.setattr(control, "join", refuse)
    (tmp_path / "there").mkdir()
    for name in ("there", "made", "in use"):
        assert await run("join", LINK, tmp_path / name) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in use", "there"]


async def test_debug_adds_the_traceback(socket, home, capsys) -> None:
    assert await run("join", "nonsense", "x", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


async def test_home_is_taken_before_and_after_the_command(socket, home_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("P2PDRIVE_HOME", "/nonexistent")
    assert await run("--home", home_path, "status") == 0
    assert await run("status", "--home", home_path) == 0
    assert await run("--home", "/nonexistent/either", "status", "--home", home_path) == 0
    assert await run("status") == 4


async def test_status_as_json_has_the_promised_keys(socket, control, home, capsys) -> None:
    assert await run("status", "--json") == 0
    out = capsys.readouterr().out
    assert NodeStatus.from_json(out) == control.answer
    told = json.loads(out)
    assert set(told) == {"node", "drives"}
    assert set(told["node"]) == {"device", "name", "version", "listen"}
    drive = told["drives"][0]
    assert set(drive) == {
        *("id", "name", "path", "role", "state", "files", "directories", "bytes"),
        *("missing_files", "missing_bytes", "conflicts", "problems", "peers", "busy"),
        *("deleting", "deleted_lately", "brought"),
        *("polled_directories", "watching"),
    }
    assert drive["state"] == "in-sync"
    assert set(drive["problems"][0]) == {"path", "what", "since"}
    assert set(drive["peers"][0]) == {
        *("device", "name", "role", "connected", "address", "in_sync", "sent_bytes", "received_bytes")
    }


async def test_status_in_words_says_what_to_know(socket, control, home, capsys) -> None:
    assert await run("status") == 0
    out = capsys.readouterr().out
    for expected in ("laptop", "Photos", "in sync", "1,204 files, 1 folder, 4.3 GB", "2 conflicts"):
        assert expected in out
    assert "desktop (editor): connected at 192.0.2.7:4100, up to date; sent 3.0 MB, received 1.5 kB" in out
    assert "a/b.txt: it cannot be read" in out


async def test_names_from_peers_cannot_steer_the_terminal(socket, control, home, capsys) -> None:
    drive = control.answer.drives[0]
    peer = replace(drive.peers[0], name="\x1b[2Jevil\r")
    problem = replace(drive.problems[0], path="a\nb\x07")
    control.answer = replace(
        control.answer, drives=(replace(drive, name="\x1b]0;x\x07", peers=(peer,), problems=(problem,)),)
    )
    assert await run("status") == 0
    out = capsys.readouterr().out
    assert "?[2Jevil?" in out
    assert {letter for letter in out if not letter.isprintable()} == {"\n"}
    assert "a?b?" in out


async def test_a_role_that_is_not_known_is_left_out(socket, control, home, capsys) -> None:
    drive = replace(control.answer.drives[0], state=DriveState.OFFLINE, role="", peers=())
    control.answer = replace(control.answer, drives=(drive,))
    assert await run("status") == 0
    assert "Photos  /srv/Photos\n" in capsys.readouterr().out


async def test_log_of_a_path_that_has_no_versions_is_an_error(socket, home, capsys) -> None:
    assert await run("log", "/srv/Photos/unheard of") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("p2pdrive: No version of /srv/Photos/unheard of is known")


async def test_status_of_one_drive_and_of_a_folder_in_it(socket, control, home, capsys) -> None:
    assert await run("status", "/srv/Photos/2026", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["drives"]) == 1
    assert await run("status", "/srv/PhotosOther") == 1
    assert "/srv/PhotosOther is in no drive" in capsys.readouterr().err


async def test_node_without_drives_says_how_to_begin(socket, control, home, capsys) -> None:
    control.answer = replace(control.answer, drives=())
    assert await run("status") == 0
    assert "p2pdrive share DIR" in capsys.readouterr().out


async def test_wait_ends_when_in_sync(socket, home) -> None:
    assert await run("wait", "--timeout", "30") == 0


async def test_wait_says_what_is_missing_at_the_timeout(socket, control, home, capsys) -> None:
    drive = replace(control.answer.drives[0], state=DriveState.SYNCING)
    control.answer = replace(control.answer, drives=(drive,))
    assert await run("wait", "--timeout", "0.1") == 3
    assert "Photos is syncing: 12 files (3.4 MB) to come" in capsys.readouterr().err


async def test_log_and_devices_in_words(socket, home, capsys) -> None:
    assert await run("log", "/srv/Photos/a") == 0
    current, older = capsys.readouterr().out.splitlines()
    assert "laptop" in current
    assert current.endswith("1.2 kB  current")
    assert older.endswith("content not here now")
    assert await run("devices") == 0
    drive, own, other = capsys.readouterr().out.splitlines()
    assert drive == "Photos"
    assert own.endswith("this device")
    assert "last seen 2026-02-03" in other


def test_commands_that_only_ask_import_nothing_heavy() -> None:
    """`status` has 0.3 s, interpreter and all."""
    heavy = {"trio", "rich", "fastapi", "hypercorn", "zeroconf", "pydantic", "segno", "nacl", "sqlite3"}
    script = "import sys, p2pdrive.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "click" in done.stdout.split()
    assert not heavy & set(done.stdout.split())


def test_built_in_rules_are_listed_with_a_word_for_each(capsys) -> None:
    assert main(["ignore", "--defaults"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == list(LINES)
    assert all(line.split("  ", 1)[1].strip() for line in lines)
    along = {
        line.split("  ")[0]
        for line in lines
        if line.endswith(" (goes with a folder that is deleted elsewhere)")
    }
    assert {"Thumbs.db", ".nfs*", "**/.git/**/*.lock", ".stfolder/"} <= along
    assert along.isdisjoint({".*.sw?", ".Trash-*/", ".stversions/", ".sync/"})


def test_rule_that_hides_a_path_is_named(tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / ".p2pdrive").mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / ".p2pdriveignore").write_text("*.tmp\n!.DS_Store\n")
    seed_home = Home(tmp_path / "d/home")
    seed_home.seed(bytes)
    monkeypatch.chdir(tmp_path)

    def said(*arguments: str) -> str:
        assert main(["ignore", *arguments]) == 0
        return capsys.readouterr().out.removeprefix(f"{tmp_path}/")

    assert said() == said(str(tmp_path)) == "*.tmp\n!.DS_Store\n"
    assert said("d/x.tmp") == "d/x.tmp is not synced, by the rule: *.tmp\n"
    assert said("d/Thumbs.db") == "d/Thumbs.db is not synced, by the rule: Thumbs.db\n"
    assert said("d/.DS_Store") == "d/.DS_Store is synced: no rule hides it.\n"
    assert "is the home of a p2pdrive node" in said("d/home/drives.json")
    assert main(["ignore", "/"]) == 1
    assert "is in no drive" in capsys.readouterr().err
