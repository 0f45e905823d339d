"""HTTP as far as pictures need it: one request, one answer, everything bounded.

What HTTP libraries leave open is closed here. The time limit is for the whole request, name look-up aside, so that a
server which drips bytes holds nobody. For a URL that came in a message, the addresses are checked where the connection
is made, after the look-up, so that a name cannot point elsewhere between check and use (DNS rebinding).
Redirects are never followed, bodies are never unpacked, and neither proxies nor credentials are taken from the
environment.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import httpcore
import httpx

from facegate.errors import FacegateError, NotReadyError, RefusedError

SECONDS: Final = 5.0
MAX_BYTES: Final = 10_000_000
ADDRESSES: Final = 4
OK: Final = 200
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_FAILURES: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    OSError,
    ValueError,
)


class UnreachableError(NotReadyError):
    """A picture could not be had; another source, or the next try, may have one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, whole."""

    status: int
    headers: httpx.Headers
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        url: Absolute, http or https; user and password in it are used for basic or digest login.
        method: GET or POST.
        headers: More headers.
        document: JSON to send, or None.
        guarded: The URL came in a message: only public addresses are connected to.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    document: Mapping[str, str] | None = field(default=None, repr=False)
    guarded: bool = False


def request(ask: Ask) -> Answer:
    """Ask once, within five seconds and ten megabytes.

    Raises:
        RefusedError: The URL must not be asked, or the answer redirects.
        UnreachableError: No answer, too slow, too large.
    """
    shown = redacted(ask.url)
    try:
        url = httpx.URL(ask.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise RefusedError(f"{shown} is no http or https URL", "Only those are fetched")
        with _client(ask, url) as client:
            return _exchange(client, ask, url, shown)
    except FacegateError:
        raise
    except (httpcore.TimeoutException, httpx.TimeoutException, TimeoutError) as error:
        raise UnreachableError(f"{shown} did not answer within {SECONDS:g} s", "Check that it is up") from error
    except _FAILURES as error:
        raise UnreachableError(
            f"{shown} cannot be reached: {_why(error)}", "Check the URL, and that it is up"
        ) from error


def redacted(url: str) -> str:
    """Return a URL as it may be shown: without login and without query, which is where cameras put passwords."""
    try:
        parsed = httpx.URL(url)
        host, port, path, scheme = parsed.host, parsed.port, parsed.path, parsed.scheme
    except (httpx.InvalidURL, ValueError):
        return "the URL"
    shown = f"{scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}{path}"
    return "".join(letter if letter.isprintable() else "?" for letter in shown[:160])


def refuse_private(host: str, addresses: Iterable[str]) -> None:
    """Refuse a host if any of its addresses is not public.

    Raises:
        RefusedError: It points at this machine, this network, or nowhere.
    """
    for address in addresses:
        if not is_public(address):
            raise RefusedError(
                f"{host[:80]} is an address of this machine or network",
                "Allow it by a camera's snapshot_url in settings",
            )


def is_public(address: str) -> bool:
    """Tell whether an address is one of the public internet, whatever it is wrapped in."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if parsed in NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _client(ask: Ask, url: httpx.URL) -> httpx.Client:
    auth: httpx.Auth | None = None
    if url.userinfo:
        auth = BasicOrDigest(url.username, url.password)
    return httpx.Client(
        transport=_Transport(time.monotonic() + SECONDS, guarded=ask.guarded), auth=auth, trust_env=False
    )


def _exchange(client: httpx.Client, ask: Ask, url: httpx.URL, shown: str) -> Answer:
    headers = {"Accept-Encoding": "identity", "User-Agent": "facegate", "X-Cache-Bypass": "1", **ask.headers}
    plain = url.copy_with(userinfo=b"")
    with client.stream(ask.method, plain, headers=headers, json=ask.document, follow_redirects=False) as response:
        if response.is_redirect:
            raise RefusedError(f"{shown} redirects, which is not followed", "Give the final URL")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise UnreachableError(f"{shown} sends a packed body", "Switch compression off there")
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise UnreachableError(f"{shown} sends more than {MAX_BYTES:,} bytes", "Ask for a smaller picture")
        return Answer(response.status_code, response.headers, bytes(body))


def _why(error: BaseException) -> str:
    """Say the cause in a few words; libraries' messages may hold URLs with secrets."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message}); name it in SSL_CERT_FILE"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


class BasicOrDigest(httpx.Auth):
    """Basic or digest, whichever the camera asks for; nothing is sent before it asks."""

    def __init__(self, username: str, password: str) -> None:
        self._basic = httpx.BasicAuth(username, password)
        self._digest = httpx.DigestAuth(username, password)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Ask without a login, then with the one that is wanted."""
        response = yield request
        wanted = response.headers.get("www-authenticate", "").lower()
        if response.status_code != httpx.codes.UNAUTHORIZED or not wanted:
            return
        if "digest" in wanted:
            flow = self._digest.auth_flow(request)
            next(flow)
            yield flow.send(response)
        else:
            yield next(self._basic.auth_flow(request))


class _Transport(httpx.BaseTransport):
    """Carries one exchange until the deadline."""

    def __init__(self, deadline: float, *, guarded: bool) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=_ssl_context(), network_backend=_Backend(deadline, guarded=guarded), max_connections=2
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        carried = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        answer = self._pool.handle_request(carried)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _Backend(httpcore.NetworkBackend):
    """Connects to addresses that were looked at, and gives every connection the deadline."""

    def __init__(self, deadline: float, *, guarded: bool) -> None:
        self._deadline = deadline
        self._guarded = guarded
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline rules
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if self._guarded:
            refuse_private(host, addresses)
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses[:ADDRESSES]:
            try:
                return _Stream(self._inner.connect_tcp(address, port, _left(self._deadline)), self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._inner.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._inner.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left(self._deadline)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        msg = "the time is up"
        raise httpcore.ReadTimeout(msg)
    return left


@cache
def _ssl_context() -> ssl.SSLContext:
    """Return how https is checked; read once, because that takes longer than a frame may."""
    return ssl.create_default_context()
