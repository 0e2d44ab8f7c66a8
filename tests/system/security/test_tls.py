"""TLS: what is refused at the start, who gets in, and new certificates without a restart."""

from __future__ import annotations

import asyncio
import datetime
import re
import signal
import ssl
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from slad_client import NO_RETRY, NotFound, Unauthenticated, Unavailable, tls
from slad_client.sync import SladClient

from slad.config.settings import ConsoleSettings, TlsSettings
from slad.daemon.certificates import CertificateError, Certificates, examine
from slad.daemon.daemon import Daemon
from tests.slad_under_test import daemon_running
from tests.system.e2e.slad_process import COMMAND, SladProcess, slad_process

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def put(folder: Path, name: str, certificate: trustme.LeafCert) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    return chain, key


def files(tmp_path: Path, ca: trustme.CA) -> tuple[Path, tuple[str, ...]]:
    """(the CA's certificate, options of a daemon that has one of its certificates)."""
    chain, key = put(tmp_path / "tls", "server", ca.issue_cert("localhost"))
    ca.cert_pem.write_to_path(str(tmp_path / "tls" / "ca.pem"))
    return tmp_path / "tls" / "ca.pem", ("--tls-cert", str(chain), "--tls-key", str(key))


def slad(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def target(process: SladProcess) -> str:
    return f"localhost:{process.addresses[0].rpartition(':')[2]}"


def list_all(address: str, **client: object) -> int:
    with SladClient(address, timeout=60, **client) as slad:  # type: ignore[arg-type]
        return len(list(slad.list_sla_trackings()))


def ask_once(address: str, **client: object) -> None:
    with SladClient(address, retry=NO_RETRY, timeout=60, **client) as slad:  # type: ignore[arg-type]
        slad.get_sla_status(ticket_id="T-1")


def test_every_interface_speaks_tls_and_wants_a_token_once_there_is_one(
    tmp_path: Path, ca: trustme.CA
) -> None:
    authority, options = files(tmp_path, ca)
    data = ("--data", str(tmp_path / "data"))
    with slad_process("--listen", "0.0.0.0:0", *data, *options) as process:
        address = target(process)
        assert list_all(address, tls=tls(authority)) == 0, "this machine, and no token yet"
        with pytest.raises(Unavailable):
            ask_once(address)
        secret = slad("tokens", "create", "--all-tenants", "--role", "read", *data).stdout.strip()
        with pytest.raises(Unauthenticated):
            list_all(address, tls=tls(authority))
        assert list_all(address, tls=tls(authority), token=secret) == 0


def test_mtls_lets_in_who_has_a_certificate(tmp_path: Path, ca: trustme.CA) -> None:
    authority, options = files(tmp_path, ca)
    callers = trustme.CA()
    callers.cert_pem.write_to_path(str(tmp_path / "tls" / "callers.pem"))
    own = put(tmp_path / "tls", "caller", callers.issue_cert("psa"))
    foreign = put(tmp_path / "tls", "foreign", ca.issue_cert("psa"))
    with slad_process(
        "--listen", "0.0.0.0:0", "--data", str(tmp_path / "data"), *options,
        "--tls-client-ca", str(tmp_path / "tls" / "callers.pem"),
    ) as process:  # fmt: skip
        address = target(process)
        assert list_all(address, tls=tls(authority, *own)) == 0
        for credentials in (tls(authority), tls(authority, *foreign)):
            with pytest.raises(Unavailable):
                ask_once(address, tls=credentials)
        command = ("consumers", "list", "--address", address, "--ca", str(authority))
        assert slad(*command).returncode == 4
        done = slad(*command, "--client-certificate", str(own[0]), "--client-key", str(own[1]))
        assert done.returncode == 0, done.stderr


def test_sighup_takes_new_certificates_and_keeps_the_old_when_they_are_no_good(tmp_path: Path) -> None:
    first, second = trustme.CA(), trustme.CA()
    authority, options = files(tmp_path, first)
    config = tmp_path / "slad.toml"
    config.write_text('[log]\nlevel = "info"\n')
    arguments = ("--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--config", str(config))
    with slad_process(*arguments, *options) as process:
        address = target(process)

        def reload(says: str) -> None:
            process.process.send_signal(signal.SIGHUP)
            wait_for_line(process, says)

        assert list_all(address, tls=tls(authority)) == 0
        put(tmp_path / "tls", "server", second.issue_cert("localhost", not_after=NOW - DAY))
        reload("certificate has expired")
        config.write_text('[log]\nlvel = "debug"\n')
        reload("did you mean 'log.level'?")
        assert list_all(address, tls=tls(authority)) == 0
        put(tmp_path / "tls", "server", second.issue_cert("localhost"))
        config.write_text('[log]\nlevel = "debug"\n')
        reload("reloaded")
        with pytest.raises(Unavailable):
            ask_once(address, tls=tls(authority))
        second.cert_pem.write_to_path(str(authority))
        with pytest.raises(NotFound):
            ask_once(address, tls=tls(authority))
        wait_for_line(process, "refused: no tracking of ticket 'T-1'")
        assert process.terminate() == 0


def wait_for_line(process: SladProcess, text: str) -> None:
    end = time.monotonic() + 60
    while text not in process.output.replace('\\"', '"'):
        assert time.monotonic() < end, process.output
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("listen", "complaint"),
    [
        ("0.0.0.0:0", "needs TLS"),
        ("[::]:0", "needs TLS"),
        ("192.0.2.1:7523", "needs TLS"),
        ("slad.example:1", "needs TLS"),
    ],
)
def test_an_address_that_others_can_reach_needs_tls(tmp_path: Path, listen: str, complaint: str) -> None:
    for command in ("serve", "config check"):
        done = slad(*command.split(), "--listen", listen, "--data", str(tmp_path / "data"))
        assert done.returncode == 2
        assert complaint in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_certificates_that_no_client_would_take_are_refused_with_one_line(
    tmp_path: Path, ca: trustme.CA
) -> None:
    good = put(tmp_path, "good", ca.issue_cert("localhost"))
    expired = put(tmp_path, "expired", ca.issue_cert("localhost", not_after=NOW - DAY))
    early = put(tmp_path, "early", ca.issue_cert("localhost", not_before=NOW + DAY))
    junk = tmp_path / "junk"
    junk.write_text("not PEM")
    gone = tmp_path / "gone"
    for certificate, key, complaint in (
        (*expired, "certificate has expired"),
        (*early, "certificate is not yet valid"),
        (good[0], expired[1], "is not the key of"),
        (junk, good[1], "not PEM"),
        (good[0], junk, "not PEM"),
        (gone, good[1], f"the certificate {gone} cannot be read: No such file or directory"),
        (good[0], gone, f"the key {gone} cannot be read: No such file or directory"),
        (tmp_path, good[1], f"the certificate {tmp_path} cannot be read: Is a directory"),
    ):
        with pytest.raises(CertificateError, match=re.escape(complaint)):
            Certificates(TlsSettings(certificate, key))
    with pytest.raises(CertificateError, match="holds no certificate"):
        Certificates(TlsSettings(*good, junk))
    assert abs(examine(*put(tmp_path, "short", ca.issue_cert("localhost", not_after=NOW + DAY)))
               - (NOW + DAY).timestamp() * 1000) < 2_000  # fmt: skip
    data = ("--data", str(tmp_path / "data"))
    done = slad("serve", *data, "--tls-cert", str(expired[0]), "--tls-key", str(expired[1]))
    assert done.returncode == 3
    assert "every client would refuse" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists(), "nothing half started"
    half = slad("serve", *data, "--tls-cert", str(good[0]))
    assert (half.returncode, half.stderr) == (
        2, "slad: tls.cert: needs tls.key: set both, or neither\n"
    )  # fmt: skip


def test_a_key_with_a_password_is_refused_without_asking(tmp_path: Path, ca: trustme.CA) -> None:
    chain, key = put(tmp_path, "server", ca.issue_cert("localhost"))
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(CertificateError, match="the key is encrypted"):
        examine(chain, key)


async def test_new_client_authorities_take_the_place_of_the_old_ones_at_every_address(tmp_path: Path) -> None:
    """Over gRPC at each address, and in the console: who has a certificate of the former is a stranger."""
    server, former, present = trustme.CA(), trustme.CA(), trustme.CA()
    authority, _ = files(tmp_path, server)
    callers = tmp_path / "tls" / "callers.pem"
    certificates = {
        name: put(tmp_path / "tls", name, ca.issue_cert("psa"))
        for name, ca in (("former", former), ("present", present))
    }
    settings = TlsSettings(authority.with_name("server.pem"), authority.with_name("server.key"), callers)
    former.cert_pem.write_to_path(str(callers))

    async def who_gets_in(daemon: Daemon, name: str) -> list[bool]:
        told = (*daemon.addresses, daemon.console_address)
        *addresses, console = (int(re.findall(r"[0-9]+", address)[-1]) for address in told)
        chain, key = certificates[name]
        credentials = tls(authority, chain, key)
        found = [await asyncio.to_thread(is_let_in, f"localhost:{port}", credentials) for port in addresses]
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(chain, key)
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"https://localhost:{console}/", ssl=context) as answer:
                    return [*found, answer.status == 200]
            except aiohttp.ClientError:
                return [*found, False]

    async with daemon_running(
        tmp_path / "data",
        listen=(f"unix:{tmp_path}/s", "127.0.0.1:0", "127.0.0.1:0"),
        tls=settings,
        console=ConsoleSettings(listen="127.0.0.1:0"),
    ) as slad:
        slad.daemon.addresses.pop(0)
        assert await who_gets_in(slad.daemon, "former") == [True] * 3
        assert await who_gets_in(slad.daemon, "present") == [False] * 3
        present.cert_pem.write_to_path(str(callers))
        await slad.daemon.reload(slad.daemon._settings)
        assert await who_gets_in(slad.daemon, "present") == [True] * 3
        assert await who_gets_in(slad.daemon, "former") == [False] * 3


def is_let_in(address: str, credentials: object) -> bool:
    try:
        list_all(address, tls=credentials, retry=NO_RETRY)
    except Unavailable:
        return False
    return True
