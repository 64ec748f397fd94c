"""
Extends schemathesis with facts about this API that the OpenAPI document does not have.

IDs of existing records lead past 404, and valid pictures lead past 422. Changes to the fuzzer's own key and account
are redirected to an unknown ID, because all later requests would fail. The checks are those of schemathesis.
"""

import json
import os
import struct
import zlib

import schemathesis
from hypothesis import strategies as st

# {parameter name: [values]}. "protected" has the IDs of records that must not be changed.
EXISTING = json.loads(os.environ["API_FUZZ_IDS"])
PROTECTED = set(EXISTING.pop("protected"))


def png(number: int) -> bytes:
    """A PNG of one pixel, whose colour depends on the number."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixel = b"\0" + struct.pack(">I", number)[1:]
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(pixel))
        + chunk(b"IEND", b"")
    )


schemathesis.openapi.format(
    "binary", st.one_of(st.integers(0, 0xFFFFFF).map(png), st.integers(0, 3).map(png), st.binary(max_size=64))
)


def substitute(name, value):
    """Replaces three of four values with an existing ID. The value alone decides, so runs are repeatable."""
    choices = EXISTING.get(name)
    if not choices or not isinstance(value, str):
        return value
    number = zlib.crc32(value.encode("utf-8", "surrogatepass"))
    return value if number % 4 == 0 else choices[number // 4 % len(choices)]


@schemathesis.hook
def map_path_parameters(ctx, path_parameters):
    if not isinstance(path_parameters, dict):
        return path_parameters
    return {name: substitute(name, value) for name, value in path_parameters.items()}


@schemathesis.hook
def map_query(ctx, query):
    if not isinstance(query, dict):
        return query
    return {name: substitute(name, value) for name, value in query.items()}


@schemathesis.hook
def map_body(ctx, body):
    def walk(value):
        if isinstance(value, list):
            return [walk(one) for one in value]
        if isinstance(value, dict):
            # An accountID in a body is the ID of a new account: an existing one would always be rejected.
            return {n: walk(v) if n == "accountID" else substitute(n, walk(v)) for n, v in value.items()}
        return value

    return walk(body)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    parameters = case.path_parameters
    if case.method == "GET" or not isinstance(parameters, dict):
        return
    for name, value in parameters.items():
        # The fuzzer's own key must not change, and the account of the records must not be suspended.
        suspends_account = case.operation.path.endswith("/suspend") and value == EXISTING["accountID"][0]
        if value in PROTECTED or suspends_account:
            parameters[name] = "00000000-0000-4000-8000-000000000000"
