"""What Neutron's metadata agent does for a guest: it says who asks, and signs it."""

from __future__ import annotations

import hashlib
import hmac

from tests.http.guests import PROJECT, RICH_UUID
from tests.http.wire import Headers

SECRET = "s3cret"
ID, TENANT, SIGNATURE = NAMES = "X-Instance-ID", "X-Tenant-ID", "X-Instance-ID-Signature"


def sign(text: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text.encode("latin-1"), hashlib.sha256).hexdigest()


def signed(uuid: str = RICH_UUID, project: str = PROJECT, secret: str = SECRET) -> Headers:
    return [(ID, uuid), (TENANT, project), (SIGNATURE, sign(uuid, secret))]
