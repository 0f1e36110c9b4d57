"""A man in the middle for tests: ends the hospitals' TLS, writes down what they send, and passes it on."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from pathlib import Path

_CHUNK = 65536


class Recorder:
    """Listens on loopback with the server's own certificate; what sites send is appended to ``sent``."""

    def __init__(self, port: int, upstream: int, certificate: Path, key: Path, ca: Path, sent: Path) -> None:
        self._upstream = upstream
        self._stream = sent.open("ab")
        self._accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._accepting.load_cert_chain(certificate, key)
        self._connecting = ssl.create_default_context(cafile=str(ca))
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._accepting)
        )
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def close(self) -> None:
        """Cut all connections."""
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._stream.close()

    @staticmethod
    async def _cancel() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, site: asyncio.StreamReader, to_site: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            server, to_server = await asyncio.open_connection(
                "127.0.0.1", self._upstream, ssl=self._connecting
            )
            await asyncio.gather(
                self._pump(site, to_server, record=True), self._pump(server, to_site, record=False)
            )

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, record: bool
    ) -> None:
        with suppress(OSError, ssl.SSLError):
            while data := await source.read(_CHUNK):
                if record:
                    self._stream.write(data)
                    self._stream.flush()
                target.write(data)
                await target.drain()
        target.close()
