"""Python client of slad.

Two clients with the same methods: `slad_client.aio.SladClient` for asyncio and `slad_client.sync.SladClient`,
which blocks. They are imported from their modules, so that it is always said which one is meant (as with grpc
and grpc.aio); here is what both share. The messages are in `slad_client.v1.types_pb2`.
"""

from slad_client._enums import short_name
from slad_client._parking import (
    AsyncParkingLot,
    ParkedEvent,
    ParkingLot,
    parked_from_json,
    parked_to_json,
)
from slad_client._policy import CHANNEL_OPTIONS, DEFAULT_TARGET, DEFAULT_TIMEOUT_S, NO_RETRY, RetryPolicy
from slad_client.credentials import Token, tls
from slad_client.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    SladError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unknown,
)

__version__ = "0.1.0"

__all__ = [
    "CHANNEL_OPTIONS",
    "DEFAULT_TARGET",
    "DEFAULT_TIMEOUT_S",
    "NO_RETRY",
    "Aborted",
    "AlreadyExists",
    "AsyncParkingLot",
    "Cancelled",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "FieldViolation",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "ParkedEvent",
    "ParkingLot",
    "PermissionDenied",
    "ResourceExhausted",
    "RetryPolicy",
    "SladError",
    "Token",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unknown",
    "parked_from_json",
    "parked_to_json",
    "short_name",
    "tls",
]
