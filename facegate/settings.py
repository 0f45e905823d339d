"""The settings: one class, a section for each part, frozen, units in the names.

Sources, the stronger first: command line (`--set mqtt.host=lan`), `FACEGATE_` variables (`FACEGATE_MQTT__HOST`),
`facegate.toml`, the defaults below. The file is the one that `FACEGATE_CONFIG` names, else `./facegate.toml`, else
`facegate.toml` in the user's configuration folder. Secrets come from files, never from a command line. What is not
known is refused: a misspelled setting must not be silently without effect on a door.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from facegate.core.schedule import parse as parse_schedule
from facegate.errors import UnusableInputError
from facegate.overrides import merged

CONFIG_VARIABLE: Final = "FACEGATE_CONFIG"
#: Variables of ours that are no settings: the file's place, and what the tests demand.
OTHER_VARIABLES: Final = frozenset({CONFIG_VARIABLE, "FACEGATE_TEST_REQUIRE"})

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]
TopicPrefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=200)]


class Section(BaseModel):
    """A part of the settings: never changed after it was read, and nothing in it that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSection(Section):
    """Where facegate remembers."""

    url: str = Field(default="", description="SQLAlchemy URL; empty: SQLite in the data folder.")


class MqttSection(Section):
    """The broker."""

    host: str = Field(default="", description="Broker; empty: the embedded broker on loopback (MQTT 3.1.1 only).")
    port: int = Field(default=1883, ge=0, le=65535, description="Port; with the embedded broker 0 picks a free one.")
    tls: bool = Field(default=False, description="Encrypt the connection (TLS 1.2 or newer).")
    ca: Path | None = Field(default=None, description="CA certificates (PEM); none: the system's.")
    cert: Path | None = Field(default=None, description="Client certificate (PEM).")
    key: Path | None = Field(default=None, description="Key of the client certificate (PEM).")
    username: str = Field(default="", description="User name at the broker.")
    password_file: Path | None = Field(default=None, description="File whose first line is the password.")
    client_id: str = Field(default="facegate", min_length=1, max_length=64, description="Client id at the broker.")
    prefix: TopicPrefix = Field(default="facegate", description="First levels of every topic of facegate.")


class VisionSection(Section):
    """Finding faces."""

    detector: Path | None = Field(default=None, description="Detector (ONNX in YuNet's format); none: the shipped.")
    min_face: int = Field(default=40, ge=16, le=1000, description="Smallest face that is compared, pixels.")
    max_pixels: int = Field(
        default=25_000_000, ge=100_000, le=200_000_000, description="Largest picture that is decoded, pixels."
    )


class CameraSection(Section):
    """How frames of one camera are pulled while somebody is there."""

    go2rtc_src: str = Field(default="", description="Stream name in go2rtc (or its whole http URL).")
    snapshot_url: str = Field(default="", description="URL of a plain snapshot, for cameras without Frigate.")
    frames_per_second: float = Field(default=2.0, gt=0, le=30, description="Frames pulled a second.")


class VerifierSection(Section):
    """The network that compares."""

    model: str = Field(default="", description="Name of the model in charge; empty: the one that was activated.")
    threads: int = Field(default=1, ge=1, le=64, description="Threads of one comparison inside ONNX Runtime.")
    workers: int = Field(default=2, ge=1, le=64, description="Frames judged at the same time.")


class GateSection(Section):
    """How sightings become a decision."""

    max_age_seconds: float = Field(default=5.0, gt=0, le=300, description="Older frames are denied as too_old.")
    visit_seconds: float = Field(default=10.0, gt=0, le=300, description="A visit is decided after so long.")
    agreeing_frames: int = Field(default=1, ge=1, le=20, description="Distinct frames that must name one user.")
    frames_per_visit: int = Field(default=20, ge=1, le=500, description="A visit is decided after so many frames.")
    margin: float = Field(default=0.05, ge=0, le=1, description="How far the next user's score must stay behind.")
    target_fmr: float = Field(
        default=1e-3, gt=0, lt=1, description="Share of strangers' visits that may be taken for anybody enrolled."
    )
    grant_seconds: float = Field(default=5.0, ge=1, le=60, description="A grant expires after so long.")
    hunt_seconds: float = Field(default=30.0, gt=0, le=600, description="A hunt for frames ends after so long.")
    queue: int = Field(default=32, ge=1, le=10_000, description="Frames waiting in all, one for each camera.")
    user_in_messages: Literal["slug", "name", "none"] = Field(
        default="slug", description="How a grant names the user on MQTT."
    )


class FrigateSection(Section):
    """Frigate, if there is one."""

    url: str = Field(default="", description="Frigate's base URL, such as http://frigate:5000.")
    topic: TopicPrefix = Field(default="frigate", description="Frigate's topic prefix.")
    go2rtc_url: str = Field(default="", description="go2rtc's base URL; empty: Frigate's host, port 1984.")
    username: str = Field(default="", description="Frigate login (port 8971).")
    password_file: Path | None = Field(default=None, description="File whose first line is the password.")
    cameras: dict[str, Slug] = Field(
        default_factory=dict, description="Frigate's camera names to facegate's, where they differ."
    )

    @field_validator("cameras", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        """Accept a plain list: Frigate's name in small letters is the camera's slug."""
        return {name: str(name).lower() for name in value} if isinstance(value, list) else value


class HomeAssistantSection(Section):
    """Home Assistant's discovery."""

    discovery: bool = Field(default=True, description="Announce the doors to Home Assistant over MQTT.")
    prefix: TopicPrefix = Field(default="homeassistant", description="Home Assistant's discovery prefix.")


class FinetuneSection(Section):
    """Learning from new enrollments."""

    schedule: str = Field(
        default="30 3 * * *",
        description="When: a cron line in the machine's time zone, or `every 6 hours`; empty: never.",
    )
    after_enrollments: int = Field(default=0, ge=0, description="Also after so many new enrollments; 0: never.")
    shadow: bool = Field(default=False, description="Let a challenger score beside the champion before it leads.")
    shadow_visits: int = Field(default=50, ge=1, le=100_000, description="Visits that a challenger scores beside.")
    shadow_days: float = Field(default=7, gt=0, le=365, description="It is judged after so long at the latest.")
    keep: int = Field(
        default=3, ge=1, le=100, description="Former champions kept for a rollback; as many challengers, too."
    )
    max_seconds: float = Field(default=900, ge=10, le=86_400, description="A run that takes longer is ended.")
    max_megabytes: float = Field(default=2000, ge=300, le=1_000_000, description="One that takes more memory, too.")

    @field_validator("schedule")
    @classmethod
    def _is_schedule(cls, value: str) -> str:
        """Refuse what would only be found out at night."""
        parse_schedule(value)
        return value


class RetentionSection(Section):
    """How long things are kept."""

    decisions_days: int = Field(default=365, ge=1, le=36_500, description="Decisions are deleted after so long.")
    events_days: int = Field(default=30, ge=1, le=36_500, description="Event ids are remembered for so long.")
    frames_days: int = Field(
        default=7,
        ge=0,
        le=36_500,
        description="Sealed face crops of decisions wait for a word so long; 0: none is kept.",
    )
    frames: int = Field(default=1000, ge=0, le=1_000_000, description="So many of them at most.")


class KeysSection(Section):
    """Key files; created on first use, readable by their owner alone."""

    vault: Path | None = Field(default=None, description="Key that encrypts templates and crops; none: data folder.")
    signing: Path | None = Field(default=None, description="Key that signs decisions; none: data folder.")


class LogSection(Section):
    """The log."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    json_lines: bool = Field(default=False, alias="json", description="One JSON object a line.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def default_data_dir() -> Path:
    """Return the folder that the platform gives for data."""
    return platformdirs.user_data_path("facegate")


class Settings(BaseSettings):
    """Everything that an operator may set."""

    model_config = SettingsConfigDict(env_prefix="FACEGATE_", env_nested_delimiter="__", frozen=True, extra="forbid")

    data_dir: Path = Field(default_factory=default_data_dir, description="Folder for database, keys and models.")
    database: DatabaseSection = DatabaseSection()
    mqtt: MqttSection = MqttSection()
    vision: VisionSection = VisionSection()
    cameras: dict[Slug, CameraSection] = Field(default_factory=dict, description="Cameras whose frames are pulled.")
    verifier: VerifierSection = VerifierSection()
    gate: GateSection = GateSection()
    frigate: FrigateSection = FrigateSection()
    homeassistant: HomeAssistantSection = HomeAssistantSection()
    finetune: FinetuneSection = FinetuneSection()
    retention: RetentionSection = RetentionSection()
    keys: KeysSection = KeysSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env: a file near a door must be asked for
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: what was given, the environment, the file."""
        path = config_file(os.environ)
        files = (TomlConfigSettingsSource(settings_cls, toml_file=path),) if path else ()
        return (init_settings, env_settings, *files)

    @property
    def database_url(self) -> str:
        """The database's URL in force."""
        return self.database.url or f"sqlite:///{self.data_dir / 'facegate.db'}"

    @property
    def vault_key(self) -> Path:
        """File of the key that encrypts templates and crops."""
        return self.keys.vault or self.data_dir / "keys" / "vault.key"

    @property
    def signing_key(self) -> Path:
        """File of the key that signs decisions."""
        return self.keys.signing or self.data_dir / "keys" / "signing.pem"

    @property
    def models_dir(self) -> Path:
        """Folder of models that were imported or trained here."""
        return self.data_dir / "models"


def config_file(environ: Mapping[str, str]) -> Path | None:
    """Return the settings file in force, or None.

    Raises:
        UnusableInputError: `FACEGATE_CONFIG` names a file that is not there.
    """
    named = environ.get(CONFIG_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise UnusableInputError(f"{CONFIG_VARIABLE} names {named}, which is no file", "Name an existing TOML file")
        return Path(named)
    places = (Path("facegate.toml"), platformdirs.user_config_path("facegate") / "facegate.toml")
    return next((place for place in places if place.is_file()), None)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the `FACEGATE_` variables whose section does not exist; pydantic-settings would pass over them."""
    known = {f"FACEGATE_{name}".upper() for name in Settings.model_fields}
    return sorted(
        key
        for key in environ
        if key.upper().startswith("FACEGATE_")
        and key.upper() not in OTHER_VARIABLES
        and key.upper().split("__")[0] not in known
    )


def load_settings(**given: Any) -> Settings:
    """Read the settings from every source.

    Args:
        given: What an option says, as top-level names to values or partial sections; stronger than --set.

    Raises:
        UnusableInputError: A value cannot be used or a name is not known; the message names it.
    """
    if unknown := unknown_variables(os.environ):
        raise UnusableInputError(
            f"{', '.join(unknown)}: no such setting", "See `facegate settings` for the names, then unset or rename it"
        )
    try:
        return Settings(**merged(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnusableInputError(
            f"Setting {where}: {first['msg'].removeprefix('Value error, ')}",
            "See `facegate settings` for its name and range",
        ) from error
    except SettingsError as error:  # a variable that is to hold JSON and does not
        raise UnusableInputError(
            " ".join(str(error).split()), "Write JSON there, or set the parts one by one: FACEGATE_CAMERAS__PORCH__..."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UnusableInputError(f"The settings file cannot be read: {error}", "Mend the file") from error
