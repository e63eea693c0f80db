"""`log` and `devices`."""

from itertools import groupby

import click

from p2pdrive.api.control import Member, Version
from p2pdrive.cli.options import Settings, absolute, common
from p2pdrive.cli.words import local_time, printable, size
from p2pdrive.errors import DriveError


@click.command()
@click.argument("path", metavar="PATH", callback=absolute)
@common
@click.pass_obj
def log(settings: Settings, path: str) -> None:
    """List the versions of PATH, newest first."""
    versions = settings.client.log(path)
    if not versions:
        raise DriveError(
            f"No version of {printable(path)} is known: nothing there was ever synced. Check the name."
        )
    for version in versions:
        click.echo(version_text(version))


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, callback=absolute)
@common
@click.pass_obj
def devices(settings: Settings, directory: str | None) -> None:
    """List the members of every drive, or of DIR."""
    members = settings.client.devices(directory)
    for (_, name), group in groupby(members, key=lambda member: (member.drive, member.drive_name)):
        click.echo(printable(name))
        for member in group:
            click.echo(f"  {member_text(member)}")


def version_text(version: Version) -> str:
    """One line: when, who, how large, and whether it can be had."""
    length = size(version.size) if version.kind == "file" else ""
    notes = [version.kind] if version.kind != "file" else []
    notes += ["current"] if version.current else []
    notes += [] if version.readable or version.kind == "deleted" else ["content not here now"]
    when, who = local_time(version.when), printable(version.device_name) or version.device[:8]
    return f"{when}  {who:<20}  {length:>8}  {', '.join(notes)}".rstrip()


def member_text(member: Member) -> str:
    """One line: who, its role, and where it is."""
    if member.own:
        presence = "this device"
    elif member.connected:
        presence = "connected"
    elif member.last_seen is None:
        presence = "not seen yet"
    else:
        presence = f"last seen {local_time(member.last_seen)}"
    return f"{printable(member.name):<20}  {member.device[:8]}  {member.role:<6}  {presence}"
