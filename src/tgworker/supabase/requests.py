"""Requests that are calls of functions: what is the same in all of them is made once."""

from typing import final

import httpx

from tgworker.supabase.clients import WholeBody


@final
class CallRequests:
    """Makes requests for a client; for itself it would merge URLs and headers anew, a fifth of a call's cost.

    Args:
        url: The project's URL, without a slash at the end.
        client: Has the headers and the timeouts.
    """

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self._url = url
        self._urls: dict[str, httpx.URL] = {}  # as many as the database has functions
        self._extensions = {"timeout": client.timeout.as_dict()}
        self._headers = [
            (b"Host", httpx.URL(url).netloc),
            *client.headers.raw,
            (b"Content-Type", b"application/json"),
        ]

    def make(self, call: str, body: bytes, request_id: str) -> httpx.Request:
        """A request that calls a function.

        Args:
            call: Its name.
            body: Its arguments as JSON.
            request_id: By which logs can be compared.
        """
        url = self._urls.get(call)
        if url is None:
            url = self._urls[call] = httpx.URL(f"{self._url}/rest/v1/rpc/{call}")
        own = ((b"X-Request-Id", request_id.encode()), (b"Content-Length", b"%d" % len(body)))
        return httpx.Request(
            "POST", url, headers=[*self._headers, *own], stream=WholeBody(body), extensions=self._extensions
        )
