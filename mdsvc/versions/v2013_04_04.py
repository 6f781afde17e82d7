"""2013-04-04 (Grizzly): ``random_seed``, 512 bytes in base64, new in every reply; password."""

from binascii import b2a_base64

from mdsvc.versions.version import Entropy, Version, View


def _random_seed(entropy: Entropy) -> bytes:
    return b'"%b"' % b2a_base64(entropy(512), newline=False)


def _password(_view: View) -> bytes:
    """Listed here; the guest's own write-back is served by its own handler."""
    return b""


VERSION = Version("2013-04-04", fresh={"random_seed": _random_seed}, files={"password": _password})
