"""ops/kubernetes/replicated: the commands of its containers, run in the order in which a pod runs them.

Containers cannot be run everywhere: their paths lie in a folder of the test, the API server is an imitation.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import trustme
import yaml

from tests.paths import ROOT
from tests.system.e2e.slad_process import COMMAND, SladProcess, slad_process
from tests.system.ops.test_deployment import IMAGE, NEWEST, OLDEST
from tests.trials.replication.lease_api import Leases, lease_api
from tests.trials.replication.litestream import ENVIRONMENT, LITESTREAM, Process, tool

FOLDER = ROOT / "ops" / "kubernetes" / "replicated"
OBJECTS = {one["kind"]: one for one in yaml.safe_load_all((FOLDER / "slad.yaml").read_text("utf-8"))}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
CONTAINERS = {one["name"]: one for one in [*POD["initContainers"], *POD["containers"]]}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("kind", OBJECTS)
def test_kubernetes_takes_the_manifest(kind: str, version: str) -> None:
    kubernetes_validate.validate(OBJECTS[kind], version, strict=True)


def test_the_role_allows_what_the_hook_does() -> None:
    rules = OBJECTS["Role"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "create", "update"}
    assert OBJECTS["RoleBinding"]["subjects"][0]["name"] == POD["serviceAccountName"]


class Node:
    """A node that runs the pod: a folder in which every path of the containers lies."""

    def __init__(self, folder: Path, cluster: dict[str, str], running: ExitStack) -> None:
        self._folder = folder
        self._cluster = cluster
        self._running = running
        for path in (
            "var/lib/slad",
            "run/slad",
            "etc/slad/tls",
            "etc/slad/hook",
            "etc/slad/litestream",
        ):
            (folder / path).mkdir(parents=True)
        hook = folder / "etc/slad/hook/slad-lease"
        hook.write_text((FOLDER / "slad-lease").read_text("utf-8"))
        hook.chmod(0o555)
        configuration = (ROOT / "ops/litestream/litestream.yml").read_text("utf-8")
        (folder / "etc/slad/litestream/litestream.yml").write_text(configuration)
        issued = trustme.CA().issue_cert("localhost")
        (folder / "etc/slad/tls/tls.crt").write_bytes(issued.cert_chain_pems[0].bytes())
        (folder / "etc/slad/tls/tls.key").write_bytes(issued.private_key_pem.bytes())

    def start(self) -> tuple[SladProcess, Process]:
        """The pod: what has to be done first, Litestream beside, slad."""
        for one in POD["initContainers"]:
            if one.get("restartPolicy") != "Always":
                done = subprocess.run(
                    self._command(one),
                    capture_output=True,
                    text=True,
                    env=self._env(one),
                    timeout=90,
                    check=False,
                )
                assert done.returncode == 0, f"{one['name']}: {done.stdout}{done.stderr}"
        sidecar = CONTAINERS["litestream"]
        litestream = Process(self._folder / "litestream.log", *self._command(sidecar), env=self._env(sidecar))
        self._running.callback(litestream.end)
        slad = self._running.enter_context(slad_process(env=self._env(CONTAINERS["slad"])))
        return slad, litestream

    def exec(self, *command: str) -> str:
        """What `kubectl exec` prints."""
        slad = CONTAINERS["slad"]
        done = subprocess.run(
            [COMMAND, *command], env=self._env(slad), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _command(self, container: dict[str, Any]) -> list[str]:
        return [self._here(word) for word in (*container["command"], *container["args"])]

    def _env(self, container: dict[str, Any]) -> dict[str, str]:
        said = {one["name"]: self._here(one["value"]) for one in container.get("env", ())}
        image = {name: self._here(value) for name, value in IMAGE.items()}
        path = os.pathsep.join([str(COMMAND.parent), ENVIRONMENT["PATH"]])
        return {**ENVIRONMENT, **image, **self._cluster, **said, **self._bucket(said), "PATH": path}

    def _bucket(self, said: dict[str, str]) -> dict[str, str]:
        return {"SLAD_REPLICAS": self._cluster["REPLICAS"]} if "SLAD_REPLICAS" in said else {}

    def _here(self, text: str) -> str:
        text = text.replace("0.0.0.0:7523", "127.0.0.1:0")
        return re.sub(r"(?<![\w.])(/(?:var|run|etc)/)", rf"{self._folder}\1", text)


def test_a_pod_on_another_node_goes_on_when_the_first_is_lost(tmp_path: Path) -> None:
    tool("litestream", LITESTREAM)
    leases = Leases()
    with ExitStack() as running:
        cluster = running.enter_context(lease_api(tmp_path, leases))
        cluster["REPLICAS"] = f"file://{tmp_path}/bucket"
        first = Node(tmp_path / "first", cluster, running)
        slad, litestream = first.start()
        first.exec("start", "acme", "T-1", "--24x7", "--response", "9m")
        started_at = time.time()
        while not any(path.stat().st_mtime > started_at for path in tmp_path.glob("bucket/epoch-0/ltx/0/*")):
            assert time.time() < started_at + 120, "not replicated"
            time.sleep(0.1)
        slad.kill()
        litestream.end()

        second = Node(tmp_path / "second", cluster, running)
        second.start()
        assert "T-1" in second.exec("status", "T-1")
        spec = leases.objects["slad"]["spec"]
        assert (spec["leaseTransitions"], spec["holderIdentity"]) == (1, os.uname().nodename)
        started_at = time.time()
        while not (tmp_path / "bucket" / "epoch-1").exists():
            assert time.time() < started_at + 120, "the second replica is not begun"
            time.sleep(0.1)

        # The first node comes back: its Litestream must not write to the replica of the second.
        with pytest.raises(AssertionError, match=r"^adopt: "):
            first.start()
