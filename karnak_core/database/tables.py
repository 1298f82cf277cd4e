"""Every table of Karnak. Times are integers, milliseconds since 1970-01-01 UTC.

Queries that run for every instance touch only indexes whose size follows the open work: finished deliveries may be
half a million and cost nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa

from karnak_core.model import now_ms

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: SQLite gives row ids only to columns declared INTEGER
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

instance = sa.Table(
    "instance",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("forward_node", sa.String(16), nullable=False),
    sa.Column("calling_ae_title", sa.String(16), nullable=False),
    sa.Column("peer_host", sa.String(255), nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False),
    sa.Column("study_instance_uid", sa.String(64), nullable=False),
    sa.Column("series_instance_uid", sa.String(64), nullable=False),
    sa.Column("transfer_syntax_uid", sa.String(64), nullable=False),
    # relative to the spool; empty: the bytes are in ``content``; null: removed, nothing is open any more
    sa.Column("path", sa.String(255), nullable=True),
    sa.Column("dataset_offset", sa.Integer, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Index(None, "study_instance_uid"),
    sa.Index(None, "series_instance_uid"),
    sa.Index(None, "sop_instance_uid"),
    sa.Index(
        "ix_instance_with_file",
        "path",
        sqlite_where=sa.text("path IS NOT NULL"),
        postgresql_where=sa.text("path IS NOT NULL"),
    ),
)

#: small instances, as a whole: with the row in one transaction and one fsync, and no file to make and remove
content = sa.Table(
    "content",
    metadata,
    sa.Column("instance_id", Id, sa.ForeignKey("instance.id"), primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("instance_id", Id, sa.ForeignKey("instance.id"), nullable=False),
    sa.Column("forward_node", sa.String(16), nullable=False),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # earliest next attempt; null: final, so that the index over it holds open deliveries only
    sa.Column("not_before", sa.BigInteger, nullable=True),
    # the process that has it, while leased
    sa.Column("lease_owner", sa.String(32), nullable=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("finished_at", sa.BigInteger, nullable=True),
    sa.Column("sent_study_instance_uid", sa.String(64), nullable=True),
    sa.Column("sent_series_instance_uid", sa.String(64), nullable=True),
    sa.Column("sent_sop_instance_uid", sa.String(64), nullable=True),
    # what of the instance's facts went out; null: nothing did, or they went out as received
    sa.Column("sent_facts", sa.JSON(none_as_null=True), nullable=True),
    # for a failed one: what has to be stored for it to be tried again by itself
    sa.Column("waits_for", sa.String(64), nullable=True),
    # who retried or discarded it last, and when
    sa.Column("decided_by", sa.String(128), nullable=True),
    sa.Column("decided_at", sa.BigInteger, nullable=True),
    sa.Index(None, "instance_id"),
    sa.Index(
        "ix_delivery_open",
        "forward_node",
        "destination",
        "state",
        "not_before",
        "created_at",
        sqlite_where=sa.text("not_before IS NOT NULL"),
        postgresql_where=sa.text("not_before IS NOT NULL"),
    ),
    sa.Index(
        "ix_delivery_leased",
        "lease_owner",
        sqlite_where=sa.text("lease_owner IS NOT NULL"),
        postgresql_where=sa.text("lease_owner IS NOT NULL"),
    ),
    sa.Index(
        "ix_delivery_waits_for",
        "waits_for",
        sqlite_where=sa.text("waits_for IS NOT NULL"),
        postgresql_where=sa.text("waits_for IS NOT NULL"),
    ),
    sa.Index(
        "ix_delivery_finished",
        "finished_at",
        # failed ones have both
        sqlite_where=sa.text("finished_at IS NOT NULL AND not_before IS NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL AND not_before IS NULL"),
    ),
)

#: what UIDs, PatientIDs and shifts of dates are derived from; of each project one is active, the others were once
project_secret = sa.Table(
    "project_secret",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("project", sa.String(64), nullable=False),
    # 32 hex digits, encrypted
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    # when it became the active one, and by whom; null: it is not active
    sa.Column("active_since", sa.BigInteger, nullable=True),
    sa.Column("active_by", sa.String(128), nullable=True),
    # when another one took its place last; null: it is active
    sa.Column("active_until", sa.BigInteger, nullable=True),
    sa.Index(None, "project"),
    sa.Index(
        "uq_project_secret_active",
        "project",
        unique=True,
        sqlite_where=sa.text("active_since IS NOT NULL"),
        postgresql_where=sa.text("active_since IS NOT NULL"),
    ),
)


#: of PostgreSQL: held by who stores pseudonyms, until the end of the transaction; shared by who fails a delivery for
#: want of one
STORING_LOCK = 4815162343


def patient_key(project: str, patient_id: str) -> str:
    """Return what stands for a patient of a project, 64 characters; the Patient ID cannot be read from it."""
    # the length keeps the two apart
    text = f"{len(project)}:{project}{patient_id}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _key_of_row(context: Any) -> str:
    values = context.get_current_parameters()
    return patient_key(values["project"], values["patient_id"])


#: who is who in a project
pseudonym = sa.Table(
    "pseudonym",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("project", sa.String(64), nullable=False),
    sa.Column("patient_id", sa.String(64), nullable=False),
    # empty: of any issuer
    sa.Column("issuer", sa.String(64), nullable=False),
    sa.Column("pseudonym", sa.String(64), nullable=False),
    sa.Column("first_name", sa.String(64), nullable=False, server_default=""),
    sa.Column("last_name", sa.String(64), nullable=False, server_default=""),
    # what failed deliveries that need this pseudonym have in ``waits_for``
    sa.Column("patient_key", sa.String(64), nullable=False, default=_key_of_row),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    # a delivery that found nothing before this is to look again
    sa.Column("changed_at", sa.BigInteger, nullable=False, default=now_ms, onupdate=now_ms),
    # null: never
    sa.Column("expires_at", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("project", "patient_id", "issuer"),
    sa.Index(None, "project", "pseudonym"),
    # listed in the order of storing, in parts
    sa.Index("ix_pseudonym_order", "project", "id"),
    sa.Index(None, "patient_key"),
    sa.Index(None, "pseudonym"),
    sa.Index(
        "ix_pseudonym_expires_at",
        "expires_at",
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    ),
    # the number of one that is deleted never comes again: it may be chosen on somebody's page
    sqlite_autoincrement=True,
)

#: what people, and what they stored, decided about deliveries; goes with the delivery
decision = sa.Table(
    "decision",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("delivery_id", Id, nullable=False),
    # retried, discarded
    sa.Column("what", sa.String(16), nullable=False),
    # why the delivery stood as it did until then
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("decided_by", sa.String(128), nullable=False),
    sa.Column("decided_at", sa.BigInteger, nullable=False),
    sa.Index(None, "delivery_id"),
)

#: what is done after instances were sent, once for each subject; what is done is remembered
follow_up = sa.Table(
    "follow_up",
    metadata,
    sa.Column("id", Id, primary_key=True),
    # the first instance of the subject; kept while this is open
    sa.Column("instance_id", Id, nullable=False),
    sa.Column("delivery_id", Id, nullable=False),
    sa.Column("forward_node", sa.String(16), nullable=False),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("part", sa.String(80), nullable=False),
    sa.Column("subject", sa.String(255), nullable=False),
    # pending, leased, done, failed, discarded
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # earliest next attempt; null: final
    sa.Column("not_before", sa.BigInteger, nullable=True),
    sa.Column("lease_owner", sa.String(32), nullable=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("finished_at", sa.BigInteger, nullable=True),
    # of a person's last decision
    sa.Column("decided_at", sa.BigInteger, nullable=True),
    sa.Column("decided_by", sa.String(128), nullable=True),
    # the UIDs, SOP class and facts that went out
    sa.Column("sent", sa.JSON, nullable=False),
    # of the configuration by which the instance brought the subject in; 0: not known
    sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
    sa.UniqueConstraint("forward_node", "destination", "part", "subject"),
    sa.Index(
        "ix_follow_up_open",
        "forward_node",
        "destination",
        "part",
        "state",
        "not_before",
        sqlite_where=sa.text("not_before IS NOT NULL"),
        postgresql_where=sa.text("not_before IS NOT NULL"),
    ),
    # of finished ones, too: a study's are found by it
    sa.Index("ix_follow_up_instance", "instance_id"),
    sa.Index(None, "finished_at"),
)

#: when what follow-ups authorize themselves with expires, as it was told last
follow_up_expiry = sa.Table(
    "follow_up_expiry",
    metadata,
    sa.Column("forward_node", sa.String(16), primary_key=True),
    sa.Column("destination", sa.String(64), primary_key=True),
    # the destination's follow-up
    sa.Column("part", sa.String(80), primary_key=True),
    # what it is
    sa.Column("name", sa.String(80), primary_key=True),
    # a digest of the follow-up's secrets as they are configured: of others it is not known
    sa.Column("secrets", sa.String(16), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)

#: studies that something became of, and what was last told about them
study_watch = sa.Table(
    "study_watch",
    metadata,
    sa.Column("forward_node", sa.String(16), primary_key=True),
    sa.Column("destination", sa.String(64), primary_key=True),
    # the destination's notification
    sa.Column("part", sa.String(80), primary_key=True),
    # as received
    sa.Column("study_instance_uid", sa.String(64), primary_key=True),
    # when it is to be looked at; null: nothing has changed since
    sa.Column("due_at", sa.BigInteger, nullable=True),
    # the first of what was not told yet; null: all was
    sa.Column("since", sa.BigInteger, nullable=True),
    # the last of it; another one for every change
    sa.Column("changed_at", sa.BigInteger, nullable=False),
    # what was told last, for comparison; null: nothing yet
    sa.Column("told", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("told_at", sa.BigInteger, nullable=True),
    sa.Column("number", sa.Integer, nullable=False, server_default="0"),
    sa.Index(
        "ix_study_watch_due",
        "due_at",
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    ),
    # for who does not know the parts: a destination may have very many studies
    sa.Index("ix_study_watch_study", "study_instance_uid", "forward_node", "destination"),
)

#: what people are to be told
notification = sa.Table(
    "notification",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("forward_node", sa.String(16), nullable=False),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("part", sa.String(80), nullable=False),
    sa.Column("study_instance_uid", sa.String(64), nullable=False),
    # pending, leased, sent, failed, discarded
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", sa.BigInteger, nullable=True),
    sa.Column("lease_owner", sa.String(32), nullable=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("finished_at", sa.BigInteger, nullable=True),
    # the summary, as it is told
    sa.Column("summary", sa.JSON, nullable=False),
    sa.Index(
        "ix_notification_open",
        # failed ones may be many, and are not looked at again and again
        "state",
        "not_before",
        sqlite_where=sa.text("not_before IS NOT NULL"),
        postgresql_where=sa.text("not_before IS NOT NULL"),
    ),
    sa.Index(None, "finished_at"),
    # all of the key, so that no other index seems to be better
    sa.Index("ix_notification_study", "study_instance_uid", "forward_node", "destination", "part"),
)

#: running totals, so that no count has to visit finished rows
tally = sa.Table(
    "tally",
    metadata,
    sa.Column("forward_node", sa.String(16), primary_key=True),
    # empty: of the node itself
    sa.Column("destination", sa.String(64), primary_key=True),
    # received, refused, sent, duplicate, excluded, discarded
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
)

destination_health = sa.Table(
    "destination_health",
    metadata,
    sa.Column("forward_node", sa.String(16), primary_key=True),
    sa.Column("destination", sa.String(64), primary_key=True),
    sa.Column("health", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    # transport failures in a row
    sa.Column("failures", sa.Integer, nullable=False),
    # when one delivery may go out to see whether it is back
    sa.Column("next_probe_at", sa.BigInteger, nullable=False),
)

#: processes that hold leases; one that has not been seen for a while has lost them
process = sa.Table(
    "process",
    metadata,
    sa.Column("owner", sa.String(32), primary_key=True),
    # the data directory's identity: who starts there knows that all earlier processes of it are gone
    sa.Column("node", sa.String(32), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
)

refusal = sa.Table(
    "refusal",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("called_ae_title", sa.String(16), nullable=False),
    sa.Column("calling_ae_title", sa.String(16), nullable=False),
    sa.Column("peer_host", sa.String(255), nullable=False),
    sa.Column("reason", sa.String(255), nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("called_ae_title", "calling_ae_title", "peer_host", "reason"),
)

config_version = sa.Table(
    "config_version",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("author", sa.String(128), nullable=False),
    sa.Column("comment", sa.String(255), nullable=False),
    # the whole configuration; secrets in it are encrypted
    sa.Column("document", sa.JSON, nullable=False),
    # what this version changed, one line each, for people
    sa.Column("changes", sa.JSON, nullable=False),
)
