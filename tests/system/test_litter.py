"""What nobody wants in sync, with real nodes."""

import shutil

from tests.system.machines import Machines, eventually, quiet, settled, tree, write

LEFT_OUT = {
    ".Trash-1000/files/old.txt": "thrown away",
    "lost+found/#12": "found",
    "d/.DS_Store": "finder",
    "d/.~lock.letter.odt#": "anna",
    "d/~$letter.docx": "anna",
    "src/.git/index.lock": "",
    ".stfolder/marker": "",
}


def test_what_nobody_wants_stays_where_it_is_and_goes_with_its_folder(machines: Machines) -> None:
    anna, berta = machines.started("anna", "berta")
    wanted = {"d/letter.odt": "dear", "d/letter.odt~": "old", "src/.git/HEAD": "ref", "src/yarn.lock": "1"}
    write(anna.folder, wanted | LEFT_OUT)
    berta.join(anna.share())
    quiet([anna, berta])
    assert {path for path, shown in tree(berta.folder).items() if shown[0] == "file"} == wanted.keys()
    said = anna.cli("ignore", anna.folder / "d/.DS_Store").stdout
    assert said.endswith("is not synced, by the rule: .DS_Store\n")

    shutil.rmtree(berta.folder / "d")
    eventually(lambda: not (anna.folder / "d").exists(), anna.drive)
    assert anna.problems() == {}
    write(berta.folder, {".p2pdriveignore": "!.Trash-*/\n"})
    eventually((berta.folder / ".Trash-1000/files/old.txt").exists, berta.drive)
    for path in LEFT_OUT:
        if not path.startswith((".Trash", "d/")):
            (anna.folder / path).unlink()
            if path.count("/") == 1:
                (anna.folder / path).parent.rmdir()
    settled(anna, berta)
