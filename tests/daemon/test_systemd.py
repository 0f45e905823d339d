import socket

from facegate.daemon.systemd import READY, tell


def test_a_word_reaches_the_socket_that_systemd_names(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(5)
        assert tell(READY, {"NOTIFY_SOCKET": path})
        assert listener.recv(64) == b"READY=1"


def test_without_systemd_nothing_happens(tmp_path):
    assert not tell(READY, {})
    assert not tell(READY, {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
