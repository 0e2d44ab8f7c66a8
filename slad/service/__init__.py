"""The service floor: the gRPC face of slad.

`requests` turns messages into commands and refuses bad ones, `replies` turns answers into messages,
`error_details` is the one place where exceptions become statuses, `backend` and `test_clock` are the
services, `server` puts them on a gRPC server with health and reflection.
"""
