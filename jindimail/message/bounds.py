"""Bounds on the reading of a message: no input, however hostile, costs more than these allow."""

from typing import Final

depthMax: Final = 50
"""Levels of nested parts; a deeper container is presented as one opaque leaf."""

partsMax: Final = 1000
"""Parts of one message; the last one read takes the rest of its container."""

delimitersMax: Final = 10_000
"""Lines of one message that begin like a boundary and are looked at."""

scanFactorMax: Final = 16
"""How many times the size of the message may be scanned in all for nested containers."""

scanOctetsMin: Final = 1024 * 1024
"""What may be scanned besides, so that small messages may be as deep as `depthMax`."""

headerOctetsMax: Final = 256 * 1024
"""Octets of one header that are read for their meaning (all of them are still served)."""

headerOctetsTotalMax: Final = 512 * 1024
"""Octets of all headers of one message that are read for their meaning."""

fieldsMax: Final = 2000
"""Fields of one header that are read for their meaning."""

addressesMax: Final = 1000
"""Addresses of one field."""

valueOctetsMax: Final = 64 * 1024
"""Octets of the value of one field with addresses or parameters that are read."""

parametersMax: Final = 64
"""Parameters of one field, after continuations have been joined."""

stringOctetsMax: Final = 8 * 1024
"""Octets of one string in an ENVELOPE or BODYSTRUCTURE; the rest is cut off."""

commentDepthMax: Final = 100
"""Nested comments in an address field; deeper parentheses are not counted."""

previewChars: Final = 200
"""Length of a preview (RFC 8970 §4.1)."""

previewOctetsMax: Final = 16 * 1024
"""Octets of the first text part that a preview is made from."""

messageIdOctetsMax: Final = 998
"""Octets of a Message-ID that are kept: a line's worth (RFC 5322 §2.1.1)."""
