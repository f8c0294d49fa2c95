"""What one party shows of itself over TLS, and whom it trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from schakel.kernel import tls

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files of one party: its certificate with those above it, its private key, and the anchors that it trusts."""

    certificate: Path
    key: Path
    anchors: Path

    def client(self) -> ssl.SSLContext:
        """TLS of who asks with them."""
        return tls.client((self.anchors,), self.certificate, self.key, setting="bench.")

    def server(self) -> ssl.SSLContext:
        """TLS of a listener that wants a certificate of whoever comes."""
        anchors = (self.anchors,)
        return tls.server(self.certificate, self.key, anchors, clients="required", setting="bench.")
