"""What a command says when TLS keeps it from the daemon: with gRPC's own server, in gRPC's own words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
import trustme

from slad.cli.daemon_connection import Daemon
from slad.cli.exits import EXIT_NOT_THERE, CommandError

OLD = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2021, 1, 1, tzinfo=UTC)}


class Ports(NamedTuple):
    """Of servers on loopback."""

    tls: int
    """Its certificate is for localhost."""
    mtls: int
    """It asks for a certificate."""
    expired: int
    plain: int


CA, OTHER = trustme.CA(), trustme.CA()


def pair(certificate: trustme.LeafCert) -> tuple[bytes, bytes]:
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    return certificate.private_key_pem.bytes(), chain


@pytest.fixture(scope="module")
def ports() -> Iterator[Ports]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    good, old = pair(CA.issue_cert("localhost")), pair(CA.issue_cert("localhost", **OLD))
    bound = Ports(
        server.add_secure_port("localhost:0", grpc.ssl_server_credentials([good])),
        server.add_secure_port("localhost:0", grpc.ssl_server_credentials([good], CA.cert_pem.bytes(), True)),
        server.add_secure_port("localhost:0", grpc.ssl_server_credentials([old])),
        server.add_insecure_port("localhost:0"),
    )
    server.start()
    yield bound
    server.stop(None)


TRUSTED = CA.cert_pem.bytes()


@pytest.mark.parametrize(
    ("port", "ca", "certificate", "told"),
    [
        ("tls", OTHER.cert_pem.bytes(), None, "--ca does not accept the certificate of the daemon"),
        ("tls", b"no certificate", None, "a file holds no certificate"),
        ("expired", TRUSTED, None, "certificate has expired"),
        ("plain", TRUSTED, None, "does not use TLS"),
        ("mtls", TRUSTED, None, "closed the connection over TLS; perhaps no certificate came"),
        (
            "mtls",
            TRUSTED,
            pair(OTHER.issue_cert("a@b.example")),
            "or one that has expired or is of another CA",
        ),
        ("mtls", TRUSTED, pair(CA.issue_cert("a@b.example", **OLD)), "or one that has expired"),
    ],
)
def test_a_command_says_what_is_wrong_with_certificates(
    ports: Ports, port: str, ca: bytes, certificate: tuple[bytes, bytes] | None, told: str
) -> None:
    credentials = grpc.ssl_channel_credentials(ca, *(certificate or ()))
    daemon = Daemon(f"localhost:{getattr(ports, port)}", tls=credentials)
    with pytest.raises(CommandError, match=told) as caught, daemon.client() as client:
        client.get_sla_status(ticket_id="T-1")
    assert caught.value.exit_code == EXIT_NOT_THERE


def test_an_address_that_the_certificate_does_not_name(ports: Ports) -> None:
    daemon = Daemon(f"127.0.0.1:{ports.tls}", tls=grpc.ssl_channel_credentials(TRUSTED))
    with pytest.raises(CommandError, match=r"is not for 127\.0\.0\.1"), daemon.client() as client:
        client.get_sla_status(ticket_id="T-1")


def test_nobody_at_the_address_over_tls() -> None:
    daemon = Daemon("127.0.0.1:1", tls=grpc.ssl_channel_credentials(TRUSTED))
    with (
        pytest.raises(CommandError, match=r"no daemon answers at 127\.0\.0\.1:1 over TLS"),
        daemon.client() as client,
    ):
        client.get_sla_status(ticket_id="T-1")


def test_a_closed_standard_output_is_no_unexpected_error(tmp_path: Path) -> None:
    made = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m slad preview --24x7 --response 1h >&-', sys.executable],
        stderr=subprocess.PIPE, env={**os.environ, "HOME": str(tmp_path)}, timeout=60, check=False, text=True,
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")
