"""ops/compose and ops/kubernetes: they are what their tools take, and slad serves as they configure it.

Containers cannot be run everywhere; so what the files say of a container (settings, probe, the command for a
token) is done to the installed slad, with the container's paths in a folder of the test.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import trustme
import yaml
from slad_client import Unauthenticated, tls
from slad_client.sync import SladClient

from tests.paths import ROOT
from tests.system.e2e.slad_process import COMMAND, slad_process

COMPOSE = ROOT / "ops" / "compose" / "compose.yaml"
KUBERNETES = sorted((ROOT / "ops" / "kubernetes").glob("*.yaml"))
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
CREATE = ("slad", "tokens", "create", "--all-tenants", "--role", "write", "--name", "PSA")
IMAGE = dict(re.findall(r"(SLAD_\w+)=(\S+?)(?: \\)?\n", (ROOT / "Containerfile").read_text("utf-8")))
"""The variables that the image sets."""


@dataclass
class Container:
    """A container of the image, as a file configures it."""

    env: dict[str, str]
    mounted: set[str]
    """Where there is something to write to, or a certificate."""
    health: list[str]


def compose() -> dict[str, Any]:
    """The file as podman reads it."""
    tool = Path(sys.executable).parent / "podman-compose"
    done = subprocess.run(
        [tool, "-f", COMPOSE, "config"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


def kubernetes() -> dict[str, dict[str, Any]]:
    """The objects, by kind."""
    documents = [one for path in KUBERNETES for one in yaml.safe_load_all(path.read_text("utf-8"))]
    assert len({one["kind"] for one in documents}) == len(documents)
    return {one["kind"]: one for one in documents}


def of_compose() -> Container:
    service = compose()["services"]["slad"]
    mounted = {volume.split(":")[1] for volume in service["volumes"]} | {"/run/slad"}  # of the image
    return Container(service["environment"], mounted, ["slad", "health"])


def of_kubernetes() -> Container:
    (container,) = kubernetes()["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    probes = [container[f"{kind}Probe"]["exec"]["command"] for kind in ("startup", "readiness", "liveness")]
    assert probes[0] == probes[1] == probes[2]
    env = {variable["name"]: variable["value"] for variable in container["env"]}
    return Container(env, {mount["mountPath"] for mount in container["volumeMounts"]}, probes[0])


@contextmanager
def served(container: Container, folder: Path, ca: trustme.CA) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(the port, the variables) of a slad that is configured as the container is."""
    settings = IMAGE | container.env
    for place in container.mounted:
        (folder / place.strip("/")).mkdir(parents=True)
    certificate = ca.issue_cert("slad", "slad.slad.svc", "localhost")
    (folder / "etc/slad/tls/tls.crt").write_bytes(
        b"".join(part.bytes() for part in certificate.cert_chain_pems)
    )
    (folder / "etc/slad/tls/tls.key").write_bytes(certificate.private_key_pem.bytes())
    env = {}
    for name, value in settings.items():
        local = value.replace("0.0.0.0:7523", "127.0.0.1:0")
        env[name] = re.sub(r"(?<![\w.])(/(?:var|run|etc)/)", rf"{folder}\1", local)
    with slad_process(env=env) as slad:
        (port,) = (int(found.rpartition(":")[2]) for found in slad.addresses if not found.startswith("unix:"))
        yield port, env


@pytest.mark.parametrize("configured", [of_compose, of_kubernetes])
def test_slad_serves_as_configured_over_tls_to_who_has_a_token(configured: Any, tmp_path: Path) -> None:
    ca, container = trustme.CA(), configured()
    folder = tmp_path / "c"
    with served(container, folder, ca) as (port, env):

        def inside(*command: str) -> str:
            assert command[0] == "slad"
            done = subprocess.run(
                [COMMAND, *command[1:]], env=dict(env) | {"PATH": "/usr/bin"}, capture_output=True, text=True,
                timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        inside(*container.health)
        secret = inside(*CREATE)
        ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        target, trusted = f"localhost:{port}", tls(ca=str(tmp_path / "ca.pem"))
        with SladClient(target, tls=trusted, token=secret) as client:
            assert list(client.list_sla_trackings()) == []
        with SladClient(target, tls=trusted) as client, pytest.raises(Unauthenticated):
            list(client.list_sla_trackings())
        inside(*container.health)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_kubernetes_takes_the_manifests(path: Path, version: str) -> None:
    for document in yaml.safe_load_all(path.read_text("utf-8")):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_manifests_fit_together() -> None:
    objects = kubernetes()
    assert set(objects) == {"Service", "StatefulSet", "NetworkPolicy", "Secret"}
    stateful = objects["StatefulSet"]["spec"]
    pod = stateful["template"]
    labels = pod["metadata"]["labels"]
    assert stateful["replicas"] == 1
    assert stateful["serviceName"] == objects["Service"]["metadata"]["name"]
    assert objects["Service"]["spec"]["selector"] == labels
    assert stateful["selector"]["matchLabels"] == labels
    assert objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert objects["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    claims = {claim["metadata"]["name"] for claim in stateful["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == {*volumes, *claims}
    assert volumes["tls"]["secret"]["secretName"] == objects["Secret"]["metadata"]["name"]
    assert set(objects["Secret"]["stringData"]) == {"tls.crt", "tls.key"}
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_comments_say_how_the_token_is_made() -> None:
    for path in (COMPOSE, ROOT / "ops" / "kubernetes" / "slad.yaml"):
        assert " ".join(CREATE) in path.read_text("utf-8")


def test_what_a_container_may_write_to_is_mounted() -> None:
    for container in (of_compose(), of_kubernetes()):
        settings = IMAGE | container.env
        unix = settings["SLAD_LISTEN"].split()[1]
        assert settings["SLAD_ADDRESS"] == unix, "the commands inside find the daemon"
        for path in (settings["SLAD_DATA"], unix.removeprefix("unix:"), settings["SLAD_TLS_CERT"]):
            assert any(Path(path).is_relative_to(place) for place in container.mounted), path
    service = compose()["services"]["slad"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "deploy" not in service
