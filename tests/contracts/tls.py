"""HTTPS in front of a server that speaks plain HTTP, under an authority made on the spot."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CHUNK = 1 << 16


@contextmanager
def in_front_of(port: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """The https address of what listens on *port* of this machine, and the file of the authority to trust."""
    authority, chain = _certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)

    class Front(BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                closing(socket.create_connection(("127.0.0.1", port))) as server,
            ):
                answers = threading.Thread(target=_pump, args=(server, client), daemon=True)
                answers.start()
                _pump(client, server)
                server.shutdown(socket.SHUT_WR)
                answers.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Front) as front:
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{front.server_address[1]}", authority
        finally:
            front.shutdown()
            thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(CHUNK):
            target.sendall(piece)


def _certificates(folder: Path) -> tuple[Path, Path]:
    """The files of an authority, and of a key with a certificate for this machine; clients refuse one that is both."""
    names = {who: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, who)]) for who in ("authority", "127.0.0.1")}
    keys = {who: ec.generate_private_key(ec.SECP256R1()) for who in names}
    files = {}
    for who, name in names.items():
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names["authority"])
            .public_key(keys[who].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=who == "authority", path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(keys["authority"], hashes.SHA256())
        )
        key = keys[who].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files[who] = folder / f"{who}.pem"
        files[who].write_bytes(made.public_bytes(serialization.Encoding.PEM) + (key if who != "authority" else b""))
    return files["authority"], files["127.0.0.1"]
