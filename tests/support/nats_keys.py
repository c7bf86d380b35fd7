"""An operator, an account and a user of NATS, as ``nsc`` would make them."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import nkeys


class _Key:
    def __init__(self, prefix: int) -> None:
        self.pair = nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))
        self.public = self.pair.public_key.decode()

    def token(self, subject: _Key, kind: str, **claims: Any) -> str:
        """Return claims about somebody, signed with this key."""
        body = {
            "jti": "x",
            "iat": int(time.time()),
            "iss": self.public,
            "name": kind,
            "sub": subject.public,
            "nats": {"type": kind, "version": 2, **claims},
        }
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(body).encode())}"
        return f"{signed}.{_encoded(self.pair.sign(signed.encode()))}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def operator_mode(credentials: Path) -> dict[str, Any]:
    """Write a user's credentials; return a broker's configuration that knows only that user."""
    operator, system, account, user = (
        _Key(prefix)
        for prefix in (
            nkeys.PREFIX_BYTE_OPERATOR,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_USER,
        )
    )
    limits = dict.fromkeys(
        ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "streams", "consumer"), -1
    ) | {"mem_storage": -1, "disk_storage": -1, "wildcards": True}
    no_storage = {"mem_storage": 0, "disk_storage": 0}
    credentials.write_text(
        "-----BEGIN NATS USER JWT-----\n"
        f"{account.token(user, 'user', subs=-1, data=-1, payload=-1)}\n"
        "------END NATS USER JWT------\n\n"
        "-----BEGIN USER NKEY SEED-----\n"
        f"{user.pair.seed.decode()}\n"
        "------END USER NKEY SEED------\n",
        encoding="utf-8",
        newline="\n",
    )
    return {
        "operator": operator.token(operator, "operator", system_account=system.public),
        "system_account": system.public,
        "resolver": "MEMORY",
        "resolver_preload": {
            system.public: operator.token(system, "account", limits=limits | no_storage),
            account.public: operator.token(account, "account", limits=limits),
        },
    }
