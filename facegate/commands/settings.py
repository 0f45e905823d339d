"""`facegate settings`: what is in force and where it came from; `--markdown` makes the README's table."""

import os
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from facegate import overrides
from facegate.commands.output import print_json, print_table, say
from facegate.settings import CONFIG_VARIABLE, Section, Settings, config_file, load_settings


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as the class declares it."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "FACEGATE_" + "__".join(self.path).upper().replace("<NAME>", "<name>")

    @property
    def default(self) -> str:
        """Its default, as the README shows it."""
        if self.path == ("data_dir",):
            return "the platform's data folder"
        if self.field.default_factory is not None:
            return "none"
        return shown(self.field.default)

    @property
    def kind(self) -> str:
        """Its type, for a person."""
        return kind_of(self.field.annotation)


def kind_of(annotation: Any) -> str:
    """Name a type for a person."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        return kind_of(next(part for part in arguments if part is not type(None)))
    if origin is Annotated:
        return kind_of(arguments[0])
    if origin is dict:
        return "map"
    return {bool: "yes/no", int: "number", float: "number", Path: "path", str: "text"}.get(annotation, "text")


def shown(value: Any) -> str:
    """Write a value as an operator would type it."""
    if value is None or value in ("", {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def declared(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Yield every setting in the order of the class; a camera's stand under `cameras.<name>`."""
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from declared(inner, here)
        elif (
            get_origin(inner) is dict and issubclass(section := get_args(inner)[1], Section)
            if _holds_sections(inner)
            else False
        ):
            yield from declared(section, (*here, "<name>"))
        else:
            yield Setting(here, field)


def _holds_sections(annotation: Any) -> bool:
    """Tell whether a map holds sections, as the cameras do."""
    arguments = get_args(annotation)
    return len(arguments) > 1 and isinstance(arguments[1], type) and issubclass(arguments[1], Section)


def markdown() -> str:
    """Return the README's table of settings."""
    rows = [
        f"| `{'.'.join(setting.path)}` | {setting.kind} | {setting.default} | {setting.field.description} |"
        for setting in declared()
    ]
    return "\n".join(["| setting | kind | default | what it does |", "|---|---|---|---|", *rows])


def settings(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the README's table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the settings in force and where each came from."""
    if as_markdown:
        say(markdown())
        return
    in_force = load_settings()
    path = config_file(os.environ)
    file_names = _names_in(path)
    rows = [
        (".".join(name), value, _origin(name, file_names))
        for name, value in _values(in_force.model_dump(mode="json", by_alias=True))
    ]
    if as_json:
        print_json({name: {"value": value, "from": origin} for name, value, origin in rows})
        return
    print_table(
        f"Settings in force ({CONFIG_VARIABLE}: {path or 'no file'})",
        ("setting", "value", "from"),
        [(name, shown(value), origin) for name, value, origin in rows],
    )


def _values(document: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from _values(value, (*path, name))
        else:
            yield (*path, name), value


def _names_in(path: Path | None) -> set[tuple[str, ...]]:
    """Return the settings that the file gives."""
    if path is None:
        return set()
    import tomllib  # noqa: PLC0415 - only when there is a file

    return {name for name, _ in _values(tomllib.loads(path.read_text("utf-8")))}


def _origin(name: tuple[str, ...], file_names: set[tuple[str, ...]]) -> str:
    if any(name[: len(given)] == given for given, _ in _values(dict(overrides.noted()))):
        return "command line"
    variable = "FACEGATE_" + "__".join(name).upper()
    present = {key.upper() for key in os.environ}
    if variable in present or any(
        variable.startswith(f"{key}__") or key == variable for key in present if key.startswith("FACEGATE_")
    ):
        return "environment"
    if any(name[: len(given)] == given for given in file_names):
        return "file"
    return "default"
