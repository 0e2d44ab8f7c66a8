"""The RPCs of this daemon, called from within: by the same rules and with the same answers as over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from slad.core.access import Caller
from slad.service.access import Approach, Gate, rule_of


class Calls:
    """Calls on behalf of somebody. For the event loop's thread."""

    def __init__(self, gate: Gate, services: Mapping[ServiceDescriptor, object]) -> None:
        self._gate = gate
        self._methods: dict[str, tuple[MethodDescriptor, object]] = {
            f"{descriptor.name}.{method.name}": (method, service)
            for descriptor, service in services.items()
            for method in descriptor.methods
        }

    def recognize(self, approach: Approach) -> Caller:
        """Who comes like that. Raises Refused (UNAUTHENTICATED)."""
        return self._gate.recognize(approach)

    def admit(self, who: Caller, name: str, **fields: Any) -> Any:
        """The request of `who`, when a rule allows it: with the tenant filled in that was left out.

        `name` is as in `SlaBackend.GetSlaStatus`. Raises Refused and InvalidField.
        """
        method, _ = self._methods[name]
        rule, request = rule_of(method.full_name), GetMessageClass(method.input_type)(**fields)
        self._gate.enter(rule, who)
        self._gate.check(rule, who, request)
        return request

    async def call(self, who: Caller, name: str, **fields: Any) -> Any:
        """The reply to `who`. Raises what the method raises, Refused and InvalidField among it."""
        request = self.admit(who, name, **fields)
        method, service = self._methods[name]
        body: bytes = await getattr(service, method.name)(request)
        return GetMessageClass(method.output_type).FromString(body)

    async def replies(self, who: Caller, name: str, **fields: Any) -> AsyncGenerator[Any, None]:
        """The replies of a method that streams, to `who`. Raises as `call` does."""
        request = self.admit(who, name, **fields)
        method, service = self._methods[name]
        read = GetMessageClass(method.output_type).FromString
        async with aclosing(getattr(service, method.name)(request, None)) as bodies:
            async for body in bodies:
                yield read(body)

    def stream(self, who: Caller) -> Any:
        """As `Gate.stream`: what is open for `who` ends when the token does."""
        return self._gate.stream(who)
