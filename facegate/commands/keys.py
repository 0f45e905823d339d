"""`facegate keys`: the keys that sign and encrypt."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from facegate.commands.output import print_json, print_table, say
from facegate.commands.users import AsJson, opened
from facegate.settings import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The keys that sign and encrypt.")


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show the public keys that verify decisions; with --json as a JWK set."""
    from facegate.storage.signing import DecisionSigner  # noqa: PLC0415 - `--help` needs no keys

    settings = load_settings()
    keys = DecisionSigner(settings.signing_key).jwks(datetime.now(UTC))
    if as_json:
        print_json(keys)
        return
    print_table(
        f"Public keys (private key in {settings.signing_key})",
        ("key id", "public key (Ed25519, base64url)", "signs"),
        [(jwk["kid"], jwk["x"], "now" if number == 0 else "retired") for number, jwk in enumerate(keys["keys"])],
    )


@app.command()
def rotate(
    vault: Annotated[
        bool, typer.Option("--vault", help="The key that encrypts, instead of the one that signs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign with a new key from now on; with --vault, encrypt everything again under a new key."""
    if vault:
        rotate_vault(as_json=as_json)
        return
    from facegate.storage.signing import DecisionSigner  # noqa: PLC0415

    kid = DecisionSigner(load_settings().signing_key).rotate(datetime.now(UTC))
    if as_json:
        print_json({"kid": kid})
    else:
        say(f"decisions are signed with key {kid} from now on; give actuators the new set: facegate keys show --json")


def rotate_vault(*, as_json: bool) -> None:
    """Encrypt everything again."""
    with opened() as storage:
        count = storage.photos.rotate_vault()
        path = str(storage.vault.path)
    if as_json:
        print_json({"sealed": count, "file": path})
    else:
        say(f"{count} templates and crops are sealed under a new key in {path}; backups need the old one")
