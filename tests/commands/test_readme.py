import json
import re
from pathlib import Path

import pytest

from facegate.commands.main import COMMANDS
from facegate.commands.settings import markdown
from facegate.core.decision import Reason
from facegate.mqtt.topics import Topics
from tests.core.test_decision import FIELDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_table_of_settings_is_that_of_the_class():
    table = README.split("<!-- settings: made by `facegate settings --markdown` -->")[1].split("<!-- /settings -->")[0]
    assert table.strip() == markdown(), "run: facegate settings --markdown, and paste it into README.md"


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.MATCH])
def test_every_reason_is_explained(reason):
    built_later = {Reason.ATTACK_SUSPECTED, Reason.FACTOR_MISSING, Reason.CHALLENGE_FAILED}
    assert f"`{reason}`" in README or reason in built_later


def test_the_decision_shown_has_the_fields_of_a_decision():
    shown = json.loads(re.search(r"A decision:\n\n```json\n(.*?)```", README, re.DOTALL).group(1))
    assert list(shown) == FIELDS


def test_every_topic_that_is_heard_is_in_the_table():
    for topic in Topics().subscriptions:
        plain = (
            topic.replace("facegate/", "P/").replace("cameras/+", "cameras/<camera>").replace("doors/+", "doors/<door>")
        )
        if plain.startswith("P/") and not plain.endswith("/claim"):
            assert f"`{plain}`" in README, plain


def test_every_topic_that_goes_out_is_in_the_table():
    topics = Topics("P")
    decision = topics.decision("door").replace("doors/door", "doors/<door>")
    for topic in (decision, topics.models_event, topics.audit_checkpoint, topics.status):
        assert f"`{topic}`" in README, topic


def test_every_command_that_it_names_is_there():
    named = re.findall(r"(?:^|`)(?:\.venv/bin/)?facegate ([a-z]+)", README, re.MULTILINE)
    assert len(named) > 10
    assert set(named) <= set(COMMANDS)


NAMED = re.compile(r"(?:`|\]\()((?:\.\./)*(?:[\w.<>-]+/)*[\w.-]+\.(?:md|py|acl|yaml|service|webp|conf|json))(?:[`#)])")
WRITTEN = {"model.json", "calibration.json", "levelled.json", "proof.json", "card.md", "figures.json"}
"""Files that every model has; a document may name them without a folder."""


@pytest.mark.parametrize(
    "document", ["README.md", "models/README.md", "models/verifier/tried.md", "models/verifier/twin-6/card.md"]
)
def test_the_files_that_a_document_names_are_there(document):
    text = (ROOT / document).read_text("utf-8")
    named = {name for name in NAMED.findall(text) if name not in WRITTEN and "/" in name}
    assert named
    for name in named:
        assert any((place / name).is_file() for place in ((ROOT / document).parent, ROOT, ROOT / "facegate")), name


def test_licence_and_notice_are_there():
    assert (ROOT / "LICENSE").is_file()
    assert (ROOT / "NOTICE").is_file()


def test_the_credit_of_the_composites_stands_where_it_must():
    credit = "Face Research Lab London Set (DeBruine and Jones 2017, figshare 5047666"
    for text in (README, (ROOT / "NOTICE").read_text("utf-8")):
        assert credit in " ".join(text.split())


def test_no_placeholder_was_left():
    assert not re.search(r"\{(figures|credit|decision)\}", README)
