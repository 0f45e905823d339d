"""`facegate groups`: groups of users. A group is there as soon as a user or a door names it."""

from typing import Annotated

import typer

from facegate.commands.output import answer, print_json, print_table
from facegate.commands.users import AsJson, opened

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Groups of users.")

Group = Annotated[str, typer.Argument(help="Slug of the group, such as staff.")]
Slugs = Annotated[list[str], typer.Argument(help="Slugs of users.")]


@app.command("list")
def list_groups(as_json: AsJson = False) -> None:
    """List the groups with their users and the doors that they may pass."""
    with opened() as storage:
        groups = storage.users.groups()
    if as_json:
        print_json({"groups": [{"group": g.slug, "users": list(g.users), "doors": list(g.doors)} for g in groups]})
        return
    print_table(
        "Groups", ("group", "users", "doors"), [(g.slug, ", ".join(g.users), ", ".join(g.doors)) for g in groups]
    )


@app.command()
def add(group: Group, users: Slugs, as_json: AsJson = False) -> None:
    """Put users into a group."""
    with opened() as storage:
        storage.users.join(group, users)
    answer({"group": group, "joined": users}, f"{', '.join(users)} joined {group}", as_json=as_json)


@app.command()
def remove(group: Group, users: Slugs, as_json: AsJson = False) -> None:
    """Take users out of a group."""
    with opened() as storage:
        storage.users.leave(group, users)
    answer({"group": group, "left": users}, f"{', '.join(users)} left {group}", as_json=as_json)
