"""The commands that keep house, as an operator calls them: words in, one clear line and an exit code out."""

import json
import sqlite3
import stat

import pytest

from tests.storage.decisions import MODEL

pytestmark = pytest.mark.usefixtures("data_dir")

MISTAKES = [
    (("users", "show", "Alice"), 2, "A slug is 1 to 64 of a-z, 0-9, _ and -"),
    (("users", "show", "carol"), 2, "There is no user carol"),
    (("users", "remove", "carol", "--yes"), 2, "There is no user carol"),
    (("users", "suspend", "carol"), 2, "There is no user carol"),
    (("users", "restore", "alice", "--until", "soon"), 2, "is no moment"),
    (("users", "restore", "alice", "--until", "2001-01-01"), 1, "is over"),
    (("users", "export", "alice", "no/such/folder/x.json"), 2, "cannot be written"),
    (("groups", "add", "everyone", "alice"), 2, "Every user is in `everyone`"),
    (("groups", "add", "Staff", "alice"), 2, "cannot name a group"),
    (("groups", "remove", "staff", "bob"), 2, "bob is not in group staff"),
    (("doors", "add", "front"), 2, "has no camera"),
    (("doors", "add", "Front", "--camera", "porch"), 2, "cannot name a door"),
    (("doors", "add", "front", "--camera", "Porch"), 2, "cannot name a camera"),
    (("doors", "add", "front", "--camera", "porch", "--hours", "whenever"), 2, "names no hours"),
    (("doors", "add", "front", "--camera", "porch", "--hours", "mon 19:00-07:00"), 2, "names no hours"),
    (("doors", "add", "front", "--camera", "porch", "--hours", "mon 25:00-26:00"), 2, "names no hours"),
    (("doors", "add", "front", "--camera", "porch", "--zone", "Mars"), 2, "There is no time zone"),
    (("doors", "add", "front", "--camera", "porch", "--zone", ""), 2, "There is no time zone"),
    (("doors", "add", "front", "--camera", "porch", "--lockout", "often"), 2, "is no lockout"),
    (("doors", "add", "front", "--camera", "porch", "--target-fmr", "2"), 2, "share between 0 and 1"),
    (("doors", "set", "back", "--alone"), 2, "There is no door back"),
    (("doors", "remove", "back"), 2, "There is no door back"),
    (("doors", "test", "back"), 2, "There is no door back"),
    (("decisions", "show", "nothing"), 2, "No decision has an id"),
    (("decisions", "show", "decision"), 2, "More than one decision"),
    (("decisions", "list", "--since", "yesterday"), 2, "is no moment"),
    (("decisions", "list", "--outcome", "perhaps"), 2, "perhaps"),
    (("db", "backup", "no/such/folder/x.db"), 2, "cannot be written"),
    (("db", "restore", "no.db"), 2, "cannot be read"),
    (("db", "restore", "/etc/passwd"), 2, "is no database"),
    (("enroll", "Alice", "x.jpg"), 2, "A slug is 1 to 64"),
    (("enroll", "alice", "no.jpg"), 2, "There is no file no.jpg"),
    (("enroll", "alice", "."), 2, "holds no JPEG, PNG or WebP"),
]


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize(("words", "code", "line"), MISTAKES, ids=[" ".join(words) for words, _, _ in MISTAKES])
def test_a_mistake_is_one_clear_line_and_its_exit_code(call, words, code, line):
    got, out, err = call(*words)
    assert (got, out) == (code, "")
    assert line in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_an_empty_folder_is_told(call, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = call("enroll", "alice", "empty")
    assert code == 2
    assert "The folder empty is empty" in err


@pytest.mark.parametrize("words", [("users", "list"), ("doors", "list"), ("decisions", "list"), ("audit", "verify")])
def test_without_a_schema_a_command_names_the_one_that_makes_it(call, words):
    code, _, err = call(*words)
    assert code == 3
    assert "Run: facegate db upgrade" in err


def test_the_database_is_upgraded_and_tells_its_state(call, answer):
    assert call("db", "status")[0] == 1
    assert answer("db", "upgrade") == {"from": "", "to": "0003"}
    assert answer("db", "status")["ready"] is True
    assert answer("db", "upgrade") == {"from": "0003", "to": "0003"}


@pytest.mark.usefixtures("gate")
def test_users_are_listed_shown_suspended_and_restored(answer):
    assert [user["user"] for user in answer("users", "list")["users"]] == ["alice", "bob"]
    assert answer("users", "show", "alice")["groups"] == ["everyone", "staff"]
    assert answer("users", "suspend", "alice") == {"user": "alice", "state": "suspended"}
    assert answer("users", "show", "alice")["suspended"] is True
    assert answer("users", "restore", "alice", "--until", "2099-01-01T00:00:00Z") == {
        "user": "alice",
        "state": "active",
    }
    shown = answer("users", "show", "alice")
    assert (shown["suspended"], shown["expires_at"]) == (False, "2099-01-01T00:00:00.000Z")


@pytest.mark.usefixtures("gate")
def test_a_removed_user_leaves_a_receipt_and_is_gone(call, answer):
    receipt = answer("users", "remove", "alice")
    assert receipt == {
        "removed": "alice",
        "photos": 1,
        "references": {MODEL: 1},
        "decisions_kept": 1,
        "models_unlearned": [],
        "in_charge_instead": None,
    }
    assert call("users", "show", "alice")[0] == 2


@pytest.mark.usefixtures("gate")
def test_an_export_holds_everything_about_a_person_in_a_file_of_its_owner_alone(answer, call, tmp_path):
    told = answer("users", "export", "alice")
    path = tmp_path / "alice.json"
    assert told == {"user": "alice", "file": "alice.json", "photos": 1, "decisions": 1}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document = json.loads(path.read_text())
    assert document["photos"][0]["templates"][MODEL][0] == 1.0
    assert document["decisions"][0]["decision"] == "decision-1"
    assert call("users", "export", "alice")[0] == 2  # never overwrites
    answer("decisions", "deny", "decision-2", "--user", "alice")
    assert answer("users", "export", "alice", "again.json")["decisions"] == 2


@pytest.mark.usefixtures("gate")
def test_groups_are_joined_and_left(answer, call):
    assert call("groups", "add", "night", "alice", "bob")[0] == 0
    assert call("groups", "remove", "night", "bob")[0] == 0
    assert {"group": "night", "users": ["alice"], "doors": []} in answer("groups", "list")["groups"]


def test_a_door_permits_everyone_unless_groups_are_named(answer):
    made = answer("doors", "add", "front", "--camera", "porch", "--camera", "yard")
    assert made["cameras"] == ["porch", "yard"]
    assert made["permissions"] == [{"group": "everyone", "hours": "daily 00:00-24:00"}]


@pytest.mark.usefixtures("gate")
def test_a_door_is_changed_in_what_is_named_alone(answer, call):
    answer("doors", "add", "front", "--camera", "porch", "--group", "staff", "--hours", "mon-fri 07:00-19:00",
           "--zone", "UTC", "--lockout", "5/60/300", "--alone")  # fmt: skip
    assert "nobody is in group nosuch yet" in call("doors", "set", "front", "--group", "nosuch")[2]
    assert "nobody" not in call("doors", "set", "front", "--group", "staff")[2]
    changed = answer("doors", "set", "front", "--hours", "sat,sun 10:00-16:00", "--mode", "lockdown")
    assert changed["permissions"] == [{"group": "staff", "hours": "sat-sun 10:00-16:00"}]
    assert (changed["mode"], changed["alone"], changed["limits"]["denials"]) == ("lockdown", True, 5)
    assert answer("doors", "list")["doors"] == [changed]
    code, _, err = call("doors", "add", "side", "--camera", "porch")
    assert code == 1
    assert "Camera porch belongs to another door" in err


@pytest.mark.usefixtures("gate")
def test_a_door_explains_who_may_pass(answer, call):
    answer(
        "doors", "add", "front", "--camera", "porch", "--group", "staff", "--hours", "mon 08:00-09:00", "--zone", "UTC"
    )
    told = answer("doors", "test", "front", "--at", "2026-11-23T08:30:00Z")
    assert told["users"] == [
        {"user": "alice", "may_pass": True, "reason": None},
        {"user": "bob", "may_pass": False, "reason": "not_permitted"},
    ]
    code, out, _ = call("doors", "test", "front", "--user", "alice", "--at", "2026-11-23T09:00:00Z")
    assert code == 1
    assert "outside_hours" in out


@pytest.fixture
def front(call):
    """Add a door."""
    assert call("doors", "add", "front", "--camera", "porch")[0] == 0


def edited_by_hand(data_dir, statement):
    with sqlite3.connect(data_dir / "facegate.db") as database:
        database.execute(statement)
    database.close()


@pytest.mark.parametrize("words", [("users", "list"), ("doors", "test", "front")])
@pytest.mark.usefixtures("gate", "front")
def test_a_moment_that_was_edited_into_none_is_told_in_one_line(data_dir, call, words):
    edited_by_hand(data_dir, "UPDATE users SET expires_at = 'tomorrow'")
    code, out, err = call(*words)
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "holds a moment that is none. Run: facegate db restore FILE." in err


@pytest.mark.usefixtures("gate", "front")
def test_a_time_zone_that_this_machine_does_not_know_is_told_in_one_line_and_can_be_mended(data_dir, call):
    edited_by_hand(data_dir, "UPDATE doors SET zone = 'Mars/Olympus'")
    code, out, err = call("doors", "test", "front")
    assert (code, out) == (2, "")
    assert "There is no time zone 'Mars/Olympus'. Name one like Europe/Berlin." in err
    assert "front: There is no time zone 'Mars/Olympus'" in call("doctor")[1]
    assert call("doors", "set", "front", "--zone", "Europe/Berlin")[0] == 0
    assert call("doors", "test", "front")[0] == 0


@pytest.mark.usefixtures("gate")
def test_decisions_are_listed_shown_and_spoken_on(answer, call):
    assert [one["decision"] for one in answer("decisions", "list")["decisions"]] == ["decision-2", "decision-1"]
    assert [one["decision"] for one in answer("decisions", "list", "--outcome", "grant")["decisions"]] == ["decision-1"]
    assert answer("decisions", "confirm", "decision-1")["word"] == "confirmed"
    assert answer("decisions", "deny", "decision-1")["word"] == "denied"
    assert answer("decisions", "show", "decision-1")["word"] == "denied"
    assert "decision-2" in call("decisions", "list")[1]


def test_keys_show_prints_exactly_a_jwk_set_and_a_rotation_keeps_the_old_key(answer):
    keys = answer("keys", "show")
    assert set(keys) == {"keys"}
    assert [jwk["kty"] for jwk in keys["keys"]] == ["OKP"]
    kid = answer("keys", "rotate")["kid"]
    assert [jwk["kid"] for jwk in answer("keys", "show")["keys"]] == [kid, keys["keys"][0]["kid"]]


@pytest.mark.usefixtures("gate")
def test_the_vault_is_rotated(answer):
    assert answer("keys", "rotate", "--vault")["sealed"] == 4


def test_the_database_is_backed_up_and_restored(answer, gate):
    answer("db", "backup", "backup.db")
    gate.users.remove("alice")
    gate.close()
    answer("db", "restore", "backup.db")
    assert [user["user"] for user in answer("users", "list")["users"]] == ["alice", "bob"]


@pytest.mark.usefixtures("gate")
def test_the_audit_says_where_the_chain_breaks(call, answer, data_dir):
    assert answer("audit", "verify")["checked"] == 2
    _, head, _ = call("audit", "checkpoint")
    (data_dir / "head.json").write_text(head)
    assert answer("audit", "verify", "--checkpoint", str(data_dir / "head.json"))["whole"]
    for bad in ("", "[]", "{}", head.replace('"jws": "', '"jws": "x')):
        (data_dir / "bad.json").write_text(bad)
        code, out, err = call("audit", "verify", "--checkpoint", str(data_dir / "bad.json"))
        assert (code, out, err.count("\n")) == (2, "", 1)
    with sqlite3.connect(data_dir / "facegate.db") as connection:
        connection.execute("UPDATE decisions SET user = 'bob' WHERE position = 1")
    code, out, _ = call("audit", "verify")
    assert code == 1
    assert "broken at 1, decision decision-1: the column of user was edited" in out
