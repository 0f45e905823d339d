import hashlib

import httpx
import pytest

from facegate.errors import RefusedError, UnusableInputError
from facegate.verifier import fetching
from facegate.verifier.fetching import fetch_file

URL = "https://models.example/network.onnx"
DATA = b"network" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


def publisher(handler):
    return httpx.Client(transport=httpx.MockTransport(handler), follow_redirects=True)


def test_a_file_with_its_digest_arrives(tmp_path):
    got = fetch_file(URL, DIGEST.upper(), tmp_path / "n.onnx", publisher(lambda _: httpx.Response(200, content=DATA)))
    assert got.read_bytes() == DATA


def test_a_file_with_another_digest_is_refused_and_deleted(tmp_path):
    with pytest.raises(RefusedError, match="not the given one"):
        fetch_file(URL, "0" * 64, tmp_path / "n.onnx", publisher(lambda _: httpx.Response(200, content=DATA)))
    assert not (tmp_path / "n.onnx").exists()


def test_a_redirect_away_from_https_is_refused(tmp_path):
    def lead_away(request):
        if request.url.scheme == "https":
            return httpx.Response(302, headers={"location": "http://elsewhere.example/n"})
        return httpx.Response(200, content=DATA)

    with pytest.raises(RefusedError, match="leads away from HTTPS"):
        fetch_file(URL, DIGEST, tmp_path / "n.onnx", publisher(lead_away))


def test_a_file_without_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MOST_BYTES", 100)
    with pytest.raises(RefusedError, match="has more than"):
        fetch_file(URL, DIGEST, tmp_path / "n.onnx", publisher(lambda _: httpx.Response(200, content=DATA)))


@pytest.mark.parametrize("url", ["http://models.example/n", "file:///etc/passwd", "ftp://x/y", "network.onnx"])
def test_any_other_scheme_is_refused(tmp_path, url):
    with pytest.raises(UnusableInputError, match="no HTTPS address"):
        fetch_file(url, DIGEST, tmp_path / "n.onnx")


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(UnusableInputError, match="cannot be fetched"):
        fetch_file(URL, DIGEST, tmp_path / "n.onnx", publisher(lambda _: httpx.Response(404)))
