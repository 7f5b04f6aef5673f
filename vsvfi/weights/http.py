"""A urllib opener whose connections can be aborted, and which does not send credentials to other hosts."""

from __future__ import annotations

import functools
import http.client
import urllib.parse
import urllib.request
from email.message import Message
from typing import IO, Any

from vsvfi.weights.limits import AnswerTimer


def build_opener(timer: AnswerTimer) -> urllib.request.OpenerDirector:
    """Build an opener whose connections `timer` monitors; uses the environment's proxies and certificates."""
    return urllib.request.build_opener(_Plain(timer), _Secure(timer), _Redirect())


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, timer: AnswerTimer) -> None:
        super().__init__()
        self._timer = timer

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_connection, http.client.HTTPConnection, self._timer), req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, timer: AnswerTimer) -> None:
        super().__init__()
        self._timer = timer

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_connection, http.client.HTTPSConnection, self._timer), req)


def _connection(
    kind: type[http.client.HTTPConnection], timer: AnswerTimer, *arguments: Any, **named: Any
) -> http.client.HTTPConnection:
    """A connection that reports its socket to `timer`."""

    class Watched(kind):  # type: ignore[valid-type, misc]
        def connect(self) -> None:
            super().connect()
            timer.watch(self.sock)

    connection: http.client.HTTPConnection = Watched(*arguments, **named)
    return connection


class _Redirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage | Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        request = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if request is not None and urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
            request.remove_header("Authorization")
        return request
