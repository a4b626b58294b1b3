"""Platforms' command APIs, as strict as the real ones: they check every signature themselves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

APPLICATION, SECRET, MASTER_KEY = "dAaFG7DiPt8", "s3cret", "cd35c680b6d647068861f7fd4e79d3f5"


class StubPlatform:
    """`commands` and `recalled`: what it took and gave back, as (path, body). `refuses`: answer 503 to everything;
    `keeps`: give nothing back."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.history: list[dict[str, Any]] = []
        self.unsigned: list[str] = []
        self.logins = 0
        self.refuses = self.keeps = False
        self.recalled: list[tuple[str, dict[str, Any]]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = stub.answer(self.path, dict(self.headers.items()), body)
                self._reply(status, answer)

            def do_PUT(self) -> None:
                self.do_POST()

            def do_GET(self) -> None:
                status, answer = stub.answer(self.path, dict(self.headers.items()), b"")
                self._reply(status, answer)

            def _reply(self, status: int, answer: dict[str, Any]) -> None:
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        small = {name.lower(): value for name, value in headers.items()}
        if self.refuses:
            return 503, {}
        if path.startswith("/aep_"):
            return self._ctwing(path, small, body)
        if path.startswith("/v5/iot/"):
            return self._iotda(path, small, body)
        return self._oceanconnect(path, small, body)

    def _ctwing(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        signed = f"application:{headers['application']}\ntimestamp:{headers['timestamp']}\n"
        if "masterkey" in headers:
            signed += f"MasterKey:{headers['masterkey']}\n"
        digest = hmac.new(SECRET.encode(), signed.encode() + body + b"\n", hashlib.sha1).digest()
        if headers["application"] != APPLICATION or base64.b64encode(digest).decode() != headers["signature"]:
            self.unsigned.append(path)
            return 401, {"code": 401}
        said = json.loads(body)
        if path == "/aep_device_status/getDeviceStatusHisInPage":
            return 200, self._page(said)
        if headers.get("masterkey") != MASTER_KEY:
            return 200, {"code": 1202, "msg": "no rights"}
        if path == "/aep_device_command/cancelCommand":
            if self.keeps:
                return 200, {"code": 1604, "msg": "it is over"}
            self.recalled.append((path, said))
            return 200, {"code": 0, "msg": "ok"}
        self.commands.append((path, said))
        return 200, {
            "code": 0,
            "msg": "ok",
            "result": {"commandId": str(len(self.commands)), "commandStatus": "指令已保存"},
        }

    def _page(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Newest first, from the page's timestamp backwards, as CTWing does."""
        until = int(asked.get("page_timestamp") or asked["end_timestamp"])
        rows = [row for row in self.history if int(asked["begin_timestamp"]) <= row["timestamp"] < until]
        rows = sorted(rows, key=lambda row: -row["timestamp"])[: int(asked["page_size"])]
        last = rows[-1]["timestamp"] if rows else 0
        return {"code": 0, "deviceStatusList": rows, "page_timestamp": last}

    def _iotda(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        parts = headers.get("authorization", "").replace(",", "").split()
        fields = dict(part.split("=", 1) for part in parts[1:] if "=" in part)
        names = fields.get("SignedHeaders", "").split(";")
        canonical = "\n".join(
            ("POST", f"{path}/", "", "".join(f"{name}:{headers.get(name, '')}\n" for name in names), ";".join(names),
             hashlib.sha256(body).hexdigest())
        )  # fmt: skip
        to_sign = f"SDK-HMAC-SHA256\n{headers.get('x-sdk-date')}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        expected = hmac.new(SECRET.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        by_key = fields.get("Signature") == expected and fields.get("Access") == APPLICATION
        if not by_key and headers.get("x-auth-token") != "a-token":
            self.unsigned.append(path)
            return 401, {}
        self.commands.append((path, json.loads(body)))
        return 200, {"device_id": "x", "command_id": f"iotda-{len(self.commands)}", "status": "PENDING"}

    def _oceanconnect(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        if path == "/iocm/app/sec/v1.1.0/login":
            form = urllib.parse.parse_qs(body.decode())
            if form != {"appId": [APPLICATION], "secret": [SECRET]}:
                return 401, {}
            self.logins += 1
            return 200, {"accessToken": "bearer-1", "expiresIn": 3600}
        if headers.get("authorization") != "Bearer bearer-1" or headers.get("app_key") != APPLICATION:
            self.unsigned.append(path)
            return 401, {}
        if "/deviceDataHistory" in path:
            return 200, {"deviceDataHistoryDTOs": self.history, "totalCount": len(self.history)}
        if path.startswith("/iocm/app/cmd/v1.4.0/deviceCommands/"):
            self.recalled.append((path, json.loads(body)))
            return 200, {"status": "CANCELED"}
        self.commands.append((path, json.loads(body)))
        return 201, {"commandId": f"ocean-{len(self.commands)}", "status": "PENDING"}
