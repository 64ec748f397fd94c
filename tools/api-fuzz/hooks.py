"""
What the fuzzer knows of this API that the document does not say: the IDs of what is there, so that it gets past
404; what a picture is, so that it gets past 422; and what it must not break, or it would only see refusals after.
Owns no check: those are the fuzzer's own.
"""

import json
import os
import struct
import zlib

import schemathesis
from hypothesis import strategies as st

# {parameter name: [values]}, and under "never" the IDs that must stay as they are.
KNOWN = json.loads(os.environ["API_FUZZ_KNOWN"])
NEVER = set(KNOWN.pop("never"))


def png(number: int) -> bytes:
    """A picture of one pixel; another number is another picture."""

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


def known(name, value):
    """Three times of four something that is there; which, and whether, follows from the value, so runs repeat."""
    choices = KNOWN.get(name)
    if not choices or not isinstance(value, str):
        return value
    number = zlib.crc32(value.encode("utf-8", "surrogatepass"))
    return value if number % 4 == 0 else choices[number // 4 % len(choices)]


@schemathesis.hook
def map_path_parameters(ctx, path_parameters):
    if not isinstance(path_parameters, dict):
        return path_parameters
    return {name: known(name, value) for name, value in path_parameters.items()}


@schemathesis.hook
def map_body(ctx, body):
    def walk(value):
        if isinstance(value, list):
            return [walk(one) for one in value]
        if isinstance(value, dict):
            # An accountID in a body is that of an account to be made: what is there already is only refused.
            return {n: walk(v) if n == "accountID" else known(n, walk(v)) for n, v in value.items()}
        return value

    return walk(body)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    parameters = case.path_parameters
    if case.method == "GET" or not isinstance(parameters, dict):
        return
    for name, value in parameters.items():
        # The key that the fuzzer itself uses; and the account that all else is in, which must not stay suspended.
        if value in NEVER or (case.operation.path.endswith("/suspend") and value == KNOWN["accountID"][0]):
            parameters[name] = "00000000-0000-4000-8000-000000000000"
