"""Downloads from a real HTTPS server on loopback."""

import hashlib
import re

import pytest

from facegate.errors import UnusableInputError
from facegate.verifier.foreign.fetching import GIVE_UP_AFTER, Limits, fetch_file
from facegate.verifier.foreign.publishers import PUBLISHED, Kind
from tests.verifier.publisher import published

DATA = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Serve `DATA`, in the way that is asked for, by a server that this process trusts."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(**how):
            (folder := tmp_path / "tls").mkdir()
            publisher = stack.enter_context(published(folder, how.pop("data", DATA), **how))
            monkeypatch.setenv("SSL_CERT_FILE", publisher.authority)
            return publisher

        yield start


def test_a_file_with_its_digest_arrives_and_is_not_asked_for_again(publish, tmp_path):
    publisher, told = publish(), []
    got = fetch_file(publisher.url, DIGEST.upper(), tmp_path / "in", report=lambda done, of: told.append((done, of)))
    assert got.read_bytes() == DATA
    assert told[-1] == (len(DATA), len(DATA))
    assert fetch_file(publisher.url, DIGEST, tmp_path / "in") == got
    assert publisher.asked == [""]
    assert [path.name for path in (tmp_path / "in").iterdir()] == [f"{DIGEST}.onnx"]


def test_a_download_that_is_cut_goes_on_where_it_was_cut(publish, tmp_path):
    publisher = publish(cut=[100_000, 50_000])
    assert fetch_file(publisher.url, DIGEST, tmp_path).read_bytes() == DATA
    assert publisher.asked[0] == ""
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) for asked in publisher.asked[1:]]
    assert starts == [100_000, 150_000]


def test_a_download_that_nothing_more_comes_of_is_given_up_and_a_later_call_goes_on(publish, tmp_path):
    publisher = publish(cut=[200_000] + [0] * GIVE_UP_AFTER)
    with pytest.raises(UnusableInputError, match=r"it goes on after 0\.2 MB"):
        fetch_file(publisher.url, DIGEST, tmp_path)
    assert len(publisher.asked) == 1 + GIVE_UP_AFTER
    assert fetch_file(publisher.url, DIGEST, tmp_path).read_bytes() == DATA
    assert publisher.asked[-1] == "bytes=200000-"


def test_a_server_without_ranges_is_asked_for_all_of_it_again(publish, tmp_path):
    publisher = publish(cut=[100_000], ranges=False)
    assert fetch_file(publisher.url, DIGEST, tmp_path).read_bytes() == DATA
    assert len(publisher.asked) == 2


def test_a_part_that_is_all_there_is_taken_without_a_byte_more(publish, tmp_path):
    publisher = publish()
    (tmp_path / f"{DIGEST}.part").write_bytes(DATA)
    assert fetch_file(publisher.url, DIGEST, tmp_path).read_bytes() == DATA
    assert publisher.asked == [f"bytes={len(DATA)}-"]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(publish, tmp_path):
    publisher = publish()
    (tmp_path / f"{DIGEST}.part").write_bytes(DATA + b"more")
    assert fetch_file(publisher.url, DIGEST, tmp_path).read_bytes() == DATA


def test_a_file_with_another_digest_is_refused_and_deleted(publish, tmp_path):
    publisher = publish()
    with pytest.raises(UnusableInputError, match=f"has the SHA-256 {DIGEST}, not the given one"):
        fetch_file(publisher.url, "0" * 64, tmp_path / "in")
    assert not list((tmp_path / "in").iterdir())


def test_a_part_with_a_wrong_byte_is_refused_and_the_next_call_begins_anew(publish, tmp_path):
    publisher = publish()
    (tmp_path / f"{DIGEST}.part").write_bytes(b"wrong" + DATA[5:1000])
    with pytest.raises(UnusableInputError, match="not the given one"):
        fetch_file(publisher.url, DIGEST, tmp_path)
    assert fetch_file(publisher.url, DIGEST, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("endless", [False, True])
def test_a_file_that_is_too_large_is_cut_off_whether_it_says_so_or_not(publish, tmp_path, endless):
    publisher = publish(endless=endless)
    with pytest.raises(UnusableInputError, match="has more than"):
        fetch_file(publisher.url, DIGEST, tmp_path / "in", limits=Limits(most_bytes=len(DATA) - 1))
    assert not list((tmp_path / "in").iterdir())


def test_a_server_that_dawdles_is_left_after_the_time_that_there_is(publish, tmp_path):
    publisher = publish(dawdle=0.05)
    with pytest.raises(UnusableInputError, match="took more than 0 seconds"):
        fetch_file(publisher.url, DIGEST, tmp_path, limits=Limits(seconds=0.3))


def test_a_redirect_is_followed_over_https_and_never_away_from_it(publish, tmp_path):
    publisher = publish()
    publisher.moved = f"http://127.0.0.1:{publisher.port}/network.onnx"
    with pytest.raises(UnusableInputError, match="without HTTPS"):
        fetch_file(publisher.url, DIGEST, tmp_path)
    publisher.moved = publisher.url  # round and round
    with pytest.raises(UnusableInputError, match="cannot be fetched"):
        fetch_file(publisher.url, DIGEST, tmp_path)


@pytest.mark.parametrize("url", ["http://models.example/n", "file:///etc/passwd", "ftp://x/y", "network.onnx"])
def test_any_other_scheme_is_refused(tmp_path, url):
    with pytest.raises(UnusableInputError, match="no HTTPS address"):
        fetch_file(url, DIGEST, tmp_path)


def test_a_missing_file_is_one_clear_error(publish, tmp_path):
    with pytest.raises(UnusableInputError, match="status 404"):
        fetch_file(publish(status=404).url, DIGEST, tmp_path)


def test_a_server_that_nobody_vouches_for_is_refused(publish, tmp_path, monkeypatch):
    publisher = publish()
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UnusableInputError, match="certificate"):
        fetch_file(publisher.url, DIGEST, tmp_path)
    assert publisher.asked == []


def test_every_known_network_has_an_https_address_a_digest_a_size_and_terms():
    assert PUBLISHED.keys() == {"sface", "yunet", "reid-0095"}
    for known in PUBLISHED.values():
        assert known.url.startswith("https://")
        assert re.fullmatch("[0-9a-f]{64}", known.sha256)
        assert 0 < known.size < 50_000_000
        assert known.licence in {"Apache-2.0", "MIT"}
        assert (known.contract is None) == (known.kind is Kind.DETECTOR)
