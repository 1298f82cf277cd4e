"""The small PDUs and headers of the upper layer (PS3.8 section 9.3)."""

from __future__ import annotations

import struct
from typing import Final

A_ASSOCIATE_RQ: Final = 0x01
A_ASSOCIATE_AC: Final = 0x02
A_ASSOCIATE_RJ: Final = 0x03
P_DATA_TF: Final = 0x04
A_RELEASE_RQ: Final = 0x05
A_RELEASE_RP: Final = 0x06
A_ABORT: Final = 0x07

#: PDU type, reserved, length of what follows
PDU_HEADER: Final = struct.Struct(">BxL")
PDU_HEADER_BYTES: Final = 6
#: item length, presentation context ID, message control header (PS3.8 section 9.3.5.1, Annex E)
PDV_HEADER: Final = struct.Struct(">LBB")
PDV_HEADER_BYTES: Final = 6
#: a P-DATA-TF PDU with one PDV
P_DATA_HEADER: Final = struct.Struct(">BxLLBB")

#: message control header, PS3.8 Annex E.2
COMMAND: Final = 1
LAST: Final = 2

#: what we receive in one P-DATA-TF PDU; DCMTK does not send more than this either
MAX_PDU_LENGTH: Final = 131072
#: a peer that counts the PDU header as well is not worth an abort
MAX_PDU_SLACK: Final = 64
#: 128 presentation contexts of 60 transfer syntaxes are 230 KB
MAX_ASSOCIATE_LENGTH: Final = 1 << 20
#: a C-STORE-RQ has some 200 bytes
MAX_COMMAND_LENGTH: Final = 64 << 10
#: A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT
SHORT_PDU_LENGTH: Final = 4

RELEASE_REQUEST: Final = PDU_HEADER.pack(A_RELEASE_RQ, 4) + bytes(4)
RELEASE_RESPONSE: Final = PDU_HEADER.pack(A_RELEASE_RP, 4) + bytes(4)

SERVICE_USER: Final = 0
SERVICE_PROVIDER: Final = 2

#: reasons of a service provider's A-ABORT, PS3.8 Table 9-26
NO_REASON: Final = 0
UNRECOGNISED_PDU: Final = 1
UNEXPECTED_PDU: Final = 2
UNRECOGNISED_PARAMETER: Final = 4
UNEXPECTED_PARAMETER: Final = 5
INVALID_PARAMETER: Final = 6


def abort_pdu(source: int, reason: int = NO_REASON) -> bytes:
    """Encode A-ABORT (PS3.8 section 9.3.8)."""
    return PDU_HEADER.pack(A_ABORT, 4) + bytes((0, 0, source, reason))


def p_data_header(context_id: int, control: int, length: int) -> bytes:
    """Encode what goes before the `length` bytes of the only PDV of a P-DATA-TF PDU."""
    return P_DATA_HEADER.pack(P_DATA_TF, length + PDV_HEADER_BYTES, length + 2, context_id, control)


def command_pdus(context_id: int, command: bytes, fragment: int) -> bytes:
    """Encode a command set as P-DATA-TF PDUs of at most `fragment` bytes of it each."""
    if len(command) <= fragment:
        return p_data_header(context_id, COMMAND | LAST, len(command)) + command
    pdus = bytearray()
    for start in range(0, len(command), fragment):
        part = command[start : start + fragment]
        last = LAST if start + fragment >= len(command) else 0
        pdus += p_data_header(context_id, COMMAND | last, len(part))
        pdus += part
    return bytes(pdus)
