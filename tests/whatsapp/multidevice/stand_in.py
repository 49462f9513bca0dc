"""A stand-in for neonize inside a host, with its traps; a test drives it through files and a socket.

Loaded by name (`Setup.engine`), in the host's own process. `STAND_IN` names a folder: `flags.json` says how it
behaves, `log.jsonl` says what it was asked, `<pid>.sock` takes commands.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import logging
import os
import socket
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

from neonize.events import INT_TO_EVENT, ConnectedEv, PairStatusEv, ReceiptEv
from neonize.proto.Neonize_pb2 import JID, MessageSource, Receipt, UploadResponse

from passerelle.whatsapp.adapters.multidevice.engine import Dialled, EngineError, LoginStatus, QrText, Told
from passerelle.whatsapp.adapters.multidevice.jids import read_jid

FOLDER = Path(os.environ.get("STAND_IN", "."))
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
_numbers = itertools.count(1)
_writing = threading.Lock()
_grown: list[bytes] = []


def flag(name: str, default: Any = None) -> Any:
    try:
        return json.loads((FOLDER / "flags.json").read_text()).get(name, default)
    except (OSError, ValueError):
        return default


def note(**members: Any) -> None:
    with (FOLDER / "log.jsonl").open("a") as file:
        file.write(json.dumps({"pid": os.getpid(), "at": time.time(), **members}) + "\n")


def write_maps() -> None:
    """Go's maps: two writers at once end the process."""
    if not _writing.acquire(blocking=False):
        sys.stderr.write("fatal error: concurrent map writes\n")
        os.abort()
    try:
        time.sleep(0.002)
    finally:
        _writing.release()


class StandIn:
    def __init__(self) -> None:
        self.clients: dict[str, StandInClient] = {}
        threading.Thread(target=self._obey, daemon=True).start()

    def prepare(self, store: str) -> None:
        if flag("broken_store"):
            raise EngineError("error: unable to open database file")
        with contextlib.closing(open_store(store)) as file:
            file.execute("CREATE TABLE IF NOT EXISTS whatsmeow_device (jid TEXT PRIMARY KEY)")

    def client(self, *, store: str, device: str | None, told: Told) -> "StandInClient":
        return StandInClient(self, store=store, device=device, told=told)

    def _obey(self) -> None:
        server = socket.socket(socket.AF_UNIX)
        path = FOLDER / f"{os.getpid()}.sock"
        server.bind(str(path))
        server.listen()
        while True:
            line, _ = server.accept()
            with line, line.makefile("rw") as file:
                for text in file:
                    file.write(json.dumps(self._do(json.loads(text))) + "\n")
                    file.flush()

    def _do(self, command: dict[str, Any]) -> Any:
        match command:
            case {"do": "abort"}:
                os.abort()
            case {"do": "grow", "bytes": size}:
                _grown.append(os.urandom(1) * size)
            case {"do": "whatsmeow says", "text": text}:
                logging.getLogger("whatsmeow.Client").error(text)
            case {"who": who, **rest} if who in self.clients:
                return self.clients[who].do(rest)
            case {"do": "who"}:
                return sorted(self.clients)
            case _:
                return "nobody"
        return "done"


class StandInClient:
    def __init__(self, home: StandIn, *, store: str, device: str | None, told: Told) -> None:
        self._home = home
        self._store = store
        self._device = device
        self._told = told
        self._socket = threading.Lock()  # held during a dial, as Go's
        self._open = False
        self._over = threading.Event()
        self._login_over = threading.Event()
        self._code: str | None = None
        self._number: str | None = None
        self._error: str | None = None

    async def connect(self, proxy: str | None) -> asyncio.Task[Any]:
        return asyncio.create_task(asyncio.to_thread(self._run, proxy))

    def _run(self, proxy: str | None) -> None:
        write_maps()
        note(did="connect", device=self._device, proxy=proxy)
        if self._device is not None and not self._stored():
            os.abort()  # a nil pointer in whatsmeow.NewClient
        with self._socket:
            time.sleep(flag("dial_s", 0.01))
            if flag("offline"):
                raise RuntimeError("failed to dial whatsapp web websocket: connection refused")
            self._open = True
        sys.stdout.write("Press Ctrl+C to exit +33639980001\n")
        sys.stdout.flush()
        if self._device is None:
            self._log_in()
        else:
            self._home.clients[self._device] = self
        if not self._over.is_set():
            self._told(Dialled())
            if self._device is not None and not flag("no_connected"):
                self._told(ConnectedEv(status=True))
        self._over.wait()
        if self._error is not None:
            raise RuntimeError(self._error)

    def _log_in(self) -> None:
        self._told(QrText(f"2@qr,{next(_numbers)}"))
        if not self._login_over.wait(flag("login_s", 160.0)):
            self._open = False  # whatsmeow hangs up by itself
            if not flag("silent_expiry"):
                self._told(LoginStatus("timeout"))

    async def is_connected(self) -> bool:
        def look() -> bool:
            with self._socket:
                return self._open

        return await asyncio.to_thread(look)

    async def pair_phone(self, phone_number: str) -> str:
        return await asyncio.to_thread(self._pair, phone_number)

    def _pair(self, phone_number: str) -> str:
        digits = phone_number.lstrip("+")
        if len(digits) <= 6:
            raise EngineError("phone number too short")
        if not self._open:
            raise EngineError("websocket not connected")
        time.sleep(flag("pair_s", 0.01))
        if flag("pair_error"):
            raise EngineError(flag("pair_error"))
        self._number = digits
        self._home.clients[digits] = self
        number = next(_numbers)
        self._code = "".join(ALPHABET[number // 32**place % 32] for place in range(8))
        note(did="code", number=digits, code=self._code)
        return f"{self._code[:4]}-{self._code[4:]}"

    async def logout(self) -> None:
        note(did="logout", device=self._device)
        self._forget()

    async def stop(self) -> None:
        def stop() -> None:
            write_maps()
            self._open = False
            self._over.set()
            self._login_over.set()

        await asyncio.to_thread(stop)
        note(did="stop", device=self._device)

    async def send(self, to: str, message: bytes) -> str:
        return await asyncio.to_thread(self._send, to, message)

    def _send(self, to: str, message: bytes) -> str:
        if not self._open:
            raise EngineError("websocket not connected")
        message_id = f"3EB0{os.getpid():06d}{next(_numbers):08d}"
        note(did="send", device=self._device, to=to, id=message_id, message=base64.b64encode(message).decode())
        if flag("early_receipt"):
            source = MessageSource(Sender=JID(**read_jid(to)), Chat=JID(**read_jid(to)))
            early = ReceiptEv(MessageIDs=[message_id], MessageSource=source, Timestamp=1, Type=Receipt.DELIVERED)
            self._told(early)
        time.sleep(flag("send_s", 0.0))
        sys.stdout.write("SendMessage: Error… 33639980001\n")
        if flag("send_error"):
            raise EngineError(flag("send_error"))
        return message_id

    async def upload(self, data: bytes, kind: int) -> Any:
        note(did="upload", kind=kind, size=len(data))
        if flag("upload_error"):
            raise EngineError(flag("upload_error"))
        return UploadResponse(url="https://x/", DirectPath="/v/1", MediaKey=b"k" * 32, FileLength=len(data))

    async def download(self, message: bytes) -> bytes:
        if flag("download_error"):
            raise EngineError(flag("download_error"))
        return b"medium:" + message

    async def is_on_whatsapp(self, phone_number: str) -> bool:
        note(did="ask", number=phone_number)
        return phone_number not in flag("not_on_whatsapp", [])

    def number_of(self, lid: str) -> str | None:
        number: str | None = flag("lids", {}).get(lid)
        return number

    def do(self, command: dict[str, Any]) -> Any:
        match command:
            case {"do": "event", "code": code, "payload": payload}:
                self._told(INT_TO_EVENT[code].FromString(base64.b64decode(payload)))
            case {"do": "login", "word": word}:
                self._told(LoginStatus(word))
            case {"do": "type", "code": code}:
                if code.replace("-", "") != self._code:
                    return "wrong code"  # nobody is told
                self._link()
            case {"do": "end", "error": error}:
                self._error = error
                self._over.set()
            case {"do": "drop"}:
                self._open = False
            case {"do": "forget"}:
                self._forget()
        return "done"

    def _link(self) -> None:
        self._device = f"{self._number}:{next(_numbers)}@s.whatsapp.net"
        with contextlib.closing(open_store(self._store)) as file, file:
            file.execute("INSERT INTO whatsmeow_device VALUES (?)", (self._device,))
        self._home.clients[self._device] = self
        self._told(LoginStatus("success"))
        self._login_over.set()
        self._told(PairStatusEv(ID=JID(**read_jid(self._device)), Status=2))
        if not flag("no_connected"):
            self._told(ConnectedEv(status=True))

    def _stored(self) -> bool:
        with contextlib.closing(open_store(self._store)) as file:
            return bool(file.execute("SELECT 1 FROM whatsmeow_device WHERE jid = ?", (self._device,)).fetchone())

    def _forget(self) -> None:
        with contextlib.closing(open_store(self._store)) as file, file:
            file.execute("DELETE FROM whatsmeow_device WHERE jid = ?", (self._device,))


def open_store(store: str) -> sqlite3.Connection:
    return sqlite3.connect(store.partition("?")[0], timeout=20)


def engine() -> StandIn:
    return StandIn()
