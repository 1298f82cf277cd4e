"""A-ASSOCIATE-RQ, -AC and -RJ (PS3.8 section 9.3): bytes on one side, values on the other."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeVar, cast

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, PDU
from pynetdicom.pdu_items import (
    AbstractSyntaxSubItem,
    ApplicationContextItem,
    AsynchronousOperationsWindowSubItem,
    ImplementationClassUIDSubItem,
    ImplementationVersionNameSubItem,
    MaximumLengthSubItem,
    PresentationContextItemAC,
    PresentationContextItemRQ,
    SCP_SCU_RoleSelectionSubItem,
    TransferSyntaxSubItem,
    UserInformationItem,
)
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation

from karnak_core.dimse.errors import ProtocolError
from karnak_core.dimse.pdu import INVALID_PARAMETER, MAX_PDU_LENGTH
from karnak_core.dimse.rejections import Rejection

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
IMPLEMENTATION_CLASS_UID: Final = "2.25.251376194853660137391648271835105293672"
IMPLEMENTATION_VERSION_NAME: Final = "KARNAK"
MAX_CONTEXTS: Final = 128

ACCEPTED: Final = 0
ABSTRACT_SYNTAX_NOT_SUPPORTED: Final = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED: Final = 4

#: items and the sub-items that are read in each; the rest is ignored (PS3.8 section 9.3.1), user identity
#: and extended negotiation with it
_REQUEST: Final = 0x01
_TITLES: Final = slice(10, 42)
_VARIABLE_ITEMS: Final = 74
_CONTEXT_RQ, _CONTEXT_AC, _USER_INFORMATION = 0x20, 0x21, 0x50
_SUB_ITEMS: Final = {
    0x10: None,
    _CONTEXT_RQ: {0x30, 0x40},
    _CONTEXT_AC: {0x40},
    _USER_INFORMATION: {*range(0x51, 0x56)},
}
_UID_ITEMS: Final = {0x10, 0x30, 0x40, 0x52}
_ROLE_SELECTION: Final = 0x54
_VERSION_NAME: Final = 0x55
_NAME: Final = re.compile(rb"[!-~][ -~]{,15}")
_UID: Final = re.compile(rb"(?=.{1,64}\Z)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")

P = TypeVar("P", bound=PDU)


@dataclass(frozen=True)
class ProposedContext:
    """A presentation context a requestor proposes."""

    abstract_syntax: str
    transfer_syntaxes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What an A-ASSOCIATE-RQ asks for."""

    protocol_version: int
    application_context: str
    called_ae_title: str
    calling_ae_title: str
    contexts: Mapping[int, ProposedContext]
    max_pdu_length: int
    implementation_class_uid: str
    implementation_version_name: str
    #: operations outstanding: invoked by the requestor, performed by it; None: not negotiated
    window: tuple[int, int] | None
    #: SOP class -> whether the requestor wants to be its SCU
    roles: Mapping[str, bool]


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What an A-ASSOCIATE-AC grants."""

    #: context ID -> result, transfer syntax; also of contexts that were not accepted
    contexts: Mapping[int, tuple[int, str]]
    max_pdu_length: int
    window: tuple[int, int] | None
    #: what the peer says that it is (PS3.7 section D.3.3.2): UID and version name; empty: it says nothing
    implementation_uid: str = ""
    implementation_version: str = ""


def decode_request(pdu: bytes) -> Proposal:
    """Decode A-ASSOCIATE-RQ, its 6 bytes of header included; raise `ProtocolError` where it is malformed."""
    request = _decode(A_ASSOCIATE_RQ(), pdu)
    contexts: dict[int, ProposedContext] = {}
    for item in request.presentation_context:
        context_id = item.context_id or 0
        if context_id in contexts or context_id % 2 == 0:
            raise ProtocolError("invalid presentation context ID", INVALID_PARAMETER)
        syntaxes = tuple(_uid(syntax) for syntax in item.transfer_syntax)
        contexts[context_id] = ProposedContext(_uid(item.abstract_syntax), syntaxes)
    user = request.user_information or UserInformationItem()
    return Proposal(
        protocol_version=request.protocol_version,
        application_context=_uid(_application_context(request.variable_items)),
        called_ae_title=request.called_ae_title.strip(),
        calling_ae_title=request.calling_ae_title.strip(),
        contexts=contexts,
        max_pdu_length=user.maximum_length or 0,
        implementation_class_uid=_uid(user.implementation_class_uid),
        implementation_version_name=(user.implementation_version_name or "").strip(),
        window=_window(user),
        roles={_uid(uid): bool(item.scu) for uid, item in user.role_selection.items()},
    )


def decode_acceptance(pdu: bytes) -> Acceptance:
    """Decode A-ASSOCIATE-AC, its 6 bytes of header included; raise `ProtocolError` where it is malformed."""
    accept = _decode(A_ASSOCIATE_AC(), pdu)
    user = accept.user_information or UserInformationItem()
    return Acceptance(
        contexts={
            item.context_id or 0: (-1 if item.result is None else item.result, _uid(item.transfer_syntax))
            for item in accept.presentation_context
        },
        max_pdu_length=user.maximum_length or 0,
        window=_window(user),
        implementation_uid=str(user.implementation_class_uid or ""),
        implementation_version=(user.implementation_version_name or "").strip(),
    )


def encode_request(
    *, called_ae_title: str, calling_ae_title: str, contexts: Sequence[ProposedContext], max_operations: int
) -> bytes:
    """Encode A-ASSOCIATE-RQ; the contexts get the IDs 1, 3, 5, …"""
    request = A_ASSOCIATE_RQ()
    request.called_ae_title = called_ae_title
    request.calling_ae_title = calling_ae_title
    items = []
    for position, context in enumerate(contexts):
        item = PresentationContextItemRQ()
        item.presentation_context_id = 2 * position + 1
        abstract_syntax = AbstractSyntaxSubItem()
        abstract_syntax.abstract_syntax_name = context.abstract_syntax
        item.abstract_transfer_syntax_sub_items = [
            abstract_syntax,
            *map(_transfer_syntax, context.transfer_syntaxes),
        ]
        items.append(item)
    # the requestor performs no operations: its side of the window stays at the default of one
    window = (max_operations, 1) if max_operations != 1 else None
    request.variable_items = [ApplicationContextItem(), *items, _user_information(window, ())]
    return request.encode()


def encode_acceptance(proposal: Proposal, contexts: Mapping[int, tuple[int, str]], max_operations: int) -> bytes:
    """Encode A-ASSOCIATE-AC: a result and transfer syntax for each context, the window capped."""
    accept = A_ASSOCIATE_AC()
    # PS3.8 Table 9-17: the titles of the request are sent back
    accept.reserved_aet = proposal.called_ae_title
    accept.reserved_aec = proposal.calling_ae_title
    items = []
    for context_id, (result, transfer_syntax) in contexts.items():
        item = PresentationContextItemAC()
        item.presentation_context_id = context_id
        item.result_reason = result
        item.transfer_syntax_sub_item = [_transfer_syntax(transfer_syntax)]
        items.append(item)
    window = None
    if proposal.window is not None:
        invoked, performed = proposal.window
        # 0 means any number (PS3.7 section D.3.3.3)
        window = (min(invoked or max_operations, max_operations), performed)
    user = _user_information(window, proposal.roles.items())
    accept.variable_items = [ApplicationContextItem(), *items, user]
    return accept.encode()


def encode_rejection(rejection: Rejection) -> bytes:
    """Encode A-ASSOCIATE-RJ."""
    reject = A_ASSOCIATE_RJ()
    reject.result = rejection.result
    reject.source = rejection.source
    reject.reason_diagnostic = rejection.reason
    return reject.encode()


def _user_information(window: tuple[int, int] | None, roles: Iterable[tuple[str, bool]]) -> UserInformationItem:
    maximum = MaximumLengthSubItem()
    maximum.maximum_length_received = MAX_PDU_LENGTH
    implementation = ImplementationClassUIDSubItem()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameSubItem()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    user = UserInformationItem()
    user.user_data = [maximum, implementation]
    if window is not None:
        operations = AsynchronousOperationsWindowSubItem()
        operations.maximum_number_operations_invoked, operations.maximum_number_operations_performed = window
        user.user_data.append(operations)
    for sop_class_uid, scu in roles:
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid = sop_class_uid
        role.scu_role = scu
        role.scp_role = False
        item = SCP_SCU_RoleSelectionSubItem()
        item.from_primitive(role)
        user.user_data.append(item)
    user.user_data.append(version)
    return user


def _transfer_syntax(uid: str) -> TransferSyntaxSubItem:
    item = TransferSyntaxSubItem()
    item.transfer_syntax_name = uid
    return item


def _window(user: UserInformationItem) -> tuple[int, int] | None:
    item = user.async_ops_window
    if item is None:
        return None
    return item.max_operations_invoked or 0, item.max_operations_performed or 0


def _application_context(items: Iterable[object]) -> str | None:
    for item in items:
        if isinstance(item, ApplicationContextItem):
            return item.application_context_name
    return None


def _uid(value: str | None) -> str:
    return (value or "").strip("\0 ")


def _decode(target: P, pdu: bytes) -> P:
    # old devices pad the titles with NUL; those of an A-ASSOCIATE-AC mean nothing (PS3.8 Table 9-17)
    titles = pdu[_TITLES].replace(b"\0", b" ") if pdu[0] == _REQUEST else b"-".ljust(16) * 2
    fixed = pdu[: _TITLES.start] + titles + pdu[_TITLES.stop : _VARIABLE_ITEMS]
    try:
        target.decode(fixed + b"".join(_known_items(pdu[_VARIABLE_ITEMS:])))
    except ProtocolError:
        raise
    # pynetdicom checks by assertion, look-up and conversion: whatever it raises, the PDU is malformed
    except Exception as error:
        raise ProtocolError("malformed A-ASSOCIATE", INVALID_PARAMETER) from error
    return target


def _known_items(data: bytes) -> Iterable[bytes]:
    """Yield the items that are read, without unknown sub-items and without UIDs and names that are none.

    A transfer syntax that is no UID is not accepted anyway, nor is a context without abstract syntax; but
    pydicom would write each of them to the log.
    """
    for item_type, value in _items(data):
        if item_type not in _SUB_ITEMS:
            continue
        known = _SUB_ITEMS[item_type]
        if known is None:
            yield from _checked(item_type, value)
            continue
        fixed = 0 if item_type == _USER_INFORMATION else 4
        sub_items = (_checked(*sub_item) for sub_item in _items(value[fixed:]) if sub_item[0] in known)
        yield _item(item_type, value[:fixed] + b"".join(chain.from_iterable(sub_items)))


def _checked(item_type: int, value: bytes) -> Iterable[bytes]:
    if item_type in _UID_ITEMS:
        value = value.rstrip(b"\0 ")
        good = _UID.fullmatch(value)
    elif item_type == _ROLE_SELECTION:
        good = _UID.fullmatch(value[2:-2])
    elif item_type == _VERSION_NAME:
        good = _NAME.fullmatch(value)
    else:
        return [_item(item_type, value)]
    return [_item(item_type, value)] if good else []


def _items(data: bytes) -> Iterable[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        try:
            item_type, length = cast(tuple[int, int], struct.unpack_from(">BxH", data, position))
        except struct.error:
            raise ProtocolError("malformed A-ASSOCIATE", INVALID_PARAMETER) from None
        position += 4 + length
        if position > len(data):
            raise ProtocolError("malformed A-ASSOCIATE", INVALID_PARAMETER)
        yield item_type, data[position - length : position]


def _item(item_type: int, value: bytes) -> bytes:
    return struct.pack(">BxH", item_type, len(value)) + value
