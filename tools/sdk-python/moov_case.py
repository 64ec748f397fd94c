"""
The set-up of the tests of the official Python SDK against a running server. packages/server/test/system/sdk starts
the server and runs the tests with each pinned version of the SDK.
"""

import os
import unittest
from importlib.metadata import version
from pathlib import Path

from moovio_sdk import Moov
from moovio_sdk.models import components, errors

# Whether this is the SDK of API version v2026.10.00 or later.
IS_2026_10 = tuple(int(part) for part in version("moovio_sdk").split(".")[:2]) >= (26, 10)

UNKNOWN_ID = "7cec5bd3-6340-4de4-a923-bf6ec0f7e921"


class MoovCase(unittest.TestCase):
    """A test case with a client of the SDK. The server and the account are the same for all test cases."""

    account_id = os.environ["MOOV_ACCOUNT"]
    # Pictures that no other test uses. Each test takes as many as it needs.
    _pictures = iter(sorted(Path(os.environ["MOOV_PICTURES"]).iterdir()))

    def setUp(self):
        self.moov = self.connect()

    def connect(self, **options):
        security = components.Security(
            username=os.environ["MOOV_PUBLIC_KEY"], password=os.environ["MOOV_SECRET_KEY"]
        )
        return Moov(server_url=os.environ["MOOV_URL"], security=security, **options)

    def next_picture(self):
        """The path of a picture that was not uploaded yet."""
        return next(MoovCase._pictures)

    def upload(self, path, **metadata):
        """Uploads a file, as an open file. Returns the metadata of the new image."""
        with open(path, "rb") as content:
            response = self.moov.images.upload(
                account_id=self.account_id,
                image={"file_name": path.name, "content": content},
                **metadata,
            )
        return response.result

    def assert_status(self, status, call, kind=errors.APIError):
        """Runs the call and returns its error, which must be of exactly this class and have this status."""
        with self.assertRaises(errors.MoovError) as caught:
            call()
        self.assertIs(type(caught.exception), kind, caught.exception)
        self.assertEqual(caught.exception.status_code, status)
        return caught.exception
