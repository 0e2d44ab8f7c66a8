"""GetSlaStatus with a million tickets against a bare gRPC echo."""

from __future__ import annotations

from dataclasses import replace

from slad_client.v1 import sla_backend_pb2 as rpc

from benchmarks.clients import started, told
from benchmarks.pending import TENANT, serving
from benchmarks.processes import echo
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row

METHOD = "/slad.v1.SlaBackend/GetSlaStatus"


def run(options: Options) -> Result:
    """In turn: a round with the echo, a round with slad; 32 in flight, tickets drawn at random."""
    figures: dict[str, list[float]] = {"ratio": [], "slad/s": [], "echo/s": []}
    arguments = ("--seconds", str(options.seconds), "--in-flight", "32")
    request = rpc.GetSlaStatusRequest(tenant_id=TENANT, ticket_id="P-1").SerializeToString()
    with (
        serving(options.large, options.disk) as server,
        echo(len(replace(server, method=METHOD).call(request))) as peer,
    ):
        for _ in range(options.repeats):
            echoed = told(started("echo", peer.target, *arguments), options.seconds + 60)
            tickets = ("--tickets", str(options.large))
            asked = told(started("status", server.target, *arguments, *tickets), options.seconds + 60)
            rates = [reply["calls"] / reply["seconds"] for reply in (echoed, asked)]
            figures["echo/s"].append(rates[0])
            figures["slad/s"].append(rates[1])
            figures["ratio"].append(rates[1] / rates[0])
    return Result("status", figures)


ROW = Row(
    "status",
    "GetSlaStatus, 32 in flight, 1,000,000 tickets",
    "a bare grpc.aio echo",
    (Target("ratio", 0.75, at_least=True),),
    run,
    45,
)
