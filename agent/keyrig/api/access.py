"""Authentication: the token that a request carries, and what it allows."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
from fastapi import Request, Security
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool

from keyrig.api.problem_documents import RequestRefused, problem_response
from keyrig.domain.api_tokens import Scope, Token, TokenFault, is_text_of, token_id_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as ASGIScope

    from keyrig.api.ledger_view import Ledgers, Version
    from keyrig.api.rate_limit import SlowDown

OPEN_PATHS: Final = frozenset({"/", "/api/v1/health"})
OPEN_PREFIX: Final = "/page/"
"""The page's files, which need no token; its requests to the API carry one."""
UNIX_ADDRESS: Final = "unix"
_CHALLENGE: Final = 'Bearer realm="keyrig"'
_FINGERPRINT_DIGITS: Final = 8
_STEP: Final = "authenticate"
_log = structlog.get_logger(__name__)


class Access:
    """Authenticates requests by the tokens that the ledger holds at each moment.

    Args:
        ledgers: Where the tokens are kept.
        clock: Returns the present instant.
        slow_down: The rate limit for addresses that present wrong tokens.
        refused: Called with the reason of each refusal, for the metrics.
    """

    def __init__(
        self,
        ledgers: Ledgers,
        *,
        clock: Callable[[], datetime],
        slow_down: SlowDown,
        refused: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._ledgers = ledgers
        self._clock = clock
        self._slow_down = slow_down
        self._refused = refused
        self._lock = threading.Lock()
        self._known: tuple[Version, dict[str, Token]] | None = None

    async def tokens(self) -> dict[str, Token]:
        """Return the tokens by id, as the ledger has them now."""
        known = self._known
        if known is not None and known[0] == self._ledgers.watch.version():
            return known[1]
        return await run_in_threadpool(self._read)

    def _read(self) -> dict[str, Token]:
        with self._lock:
            version = self._ledgers.watch.version()
            tokens = {token.id: token for token in self._ledgers.reading.tokens.all()}
            self._known = (version, tokens)
        return tokens

    async def standing(self) -> frozenset[tuple[str, TokenFault | None]]:
        """Return the tokens, each with the reason for which it is refused now, or None."""
        now = self._clock()
        return frozenset((token.id, token.fault(now)) for token in (await self.tokens()).values())

    async def holds(self, token: Token) -> bool:
        """Return True if a token that was accepted before is still valid."""
        known = (await self.tokens()).get(token.id)
        return known is not None and known.fault(self._clock()) is None

    async def token_of(self, authorization: str | None, address: str) -> Token:
        """Return the token that a request carries.

        Args:
            authorization: The request's Authorization header.
            address: The client's.

        Raises:
            RequestRefused: It carries none, or one that is not valid.
        """
        if authorization is None:
            raise _missing()
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            raise _missing()
        token = (await self.tokens()).get(token_id_of(text) or "")
        fault: TokenFault | None = TokenFault.UNKNOWN
        if is_text_of(text, token):
            assert token is not None
            fault = token.fault(self._clock())
            if fault is None:
                return token
        assert fault is not None
        raise self._wrong(text, fault, address)

    def _wrong(self, text: str, fault: TokenFault, address: str) -> RequestRefused:
        wait_s, count = self._slow_down.failed(address)
        self._refused(fault.value)
        # Beyond the limit only failures whose count is a power of two are logged, so that nobody
        # can fill the log.
        if not wait_s or count.bit_count() == 1:
            _log.warning(
                "token refused",
                client=address,
                reason=fault.value,
                fingerprint=hashlib.sha256(text.encode(errors="replace")).hexdigest()[
                    :_FINGERPRINT_DIGITS
                ],
                failures=count,
            )
        if wait_s:
            return RequestRefused(
                "too-many-refused",
                "the token does not hold, and neither did those before it",
                step=_STEP,
                headers={"Retry-After": str(max(1, round(wait_s + 0.5)))},
            )
        return RequestRefused(
            "token-refused",
            "it is unknown" if fault is TokenFault.UNKNOWN else f"it is {fault.value}",
            step=_STEP,
            headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
        )


class TokenDemanded:
    """ASGI middleware that demands a valid token before a request's body is read.

    Args:
        app: The application behind it.
        access: Authenticates requests.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Pass a connection on if it needs no token or carries a valid one."""
        path: str = scope.get("path", "")
        if scope["type"] != "http" or path in OPEN_PATHS or path.startswith(OPEN_PREFIX):
            await self._app(scope, receive, send)
            return
        authorization = next(
            (
                value.decode("latin-1")
                for name, value in scope["headers"]
                if name == b"authorization"
            ),
            None,
        )
        try:
            token = await self._access.token_of(authorization, client_address(scope))
        except RequestRefused as refused:
            response = problem_response(refused, instance=path)
            await response(scope, receive, send)
            return
        scope.setdefault("state", {})["token"] = token
        await self._app(scope, receive, send)


def client_address(scope: ASGIScope) -> str:
    """Return the address that a request comes from; `UNIX_ADDRESS` for a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client and client[0] else UNIX_ADDRESS


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    bearerFormat="keyrig token",
    description="A token that `keyrig token create` made; its scopes are read, run and keys.",
)


async def _allowed(request: Request, scopes: SecurityScopes, _credentials: _Credentials) -> Token:
    token: Token = request.state.token
    lacking = [name for name in scopes.scopes if Scope(name) not in token.scopes]
    if lacking:
        challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{" ".join(scopes.scopes)}"'
        raise RequestRefused(
            "scope-missing",
            f"the token was made without the scope {lacking[0]}",
            step="authorise",
            mend=f"make one with `keyrig token create NAME --scope {lacking[0]}`",
            headers={"WWW-Authenticate": challenge},
        )
    return token


_Credentials = Annotated[Any, Security(_bearer)]
READ: Final = Security(_allowed, scopes=[Scope.READ.value])
RUN: Final = Security(_allowed, scopes=[Scope.RUN.value])
KEYS: Final = Security(_allowed, scopes=[Scope.KEYS.value])
ReadToken = Annotated[Token, READ]
RunToken = Annotated[Token, RUN]


def _missing() -> RequestRefused:
    return RequestRefused(
        "token-missing",
        "there is no Authorization header of the form 'Bearer TOKEN'",
        step=_STEP,
        headers={"WWW-Authenticate": _CHALLENGE},
    )
