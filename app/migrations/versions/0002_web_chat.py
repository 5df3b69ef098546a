"""Users, names and owners of conversations, details of answers, gates, example questions.

Columns are only added, never a table made anew: on SQLite that would delete the table's rows, and
with them all that refers to them.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "user",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_user"),
    )
    op.add_column("document", sa.Column("examples", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("snapshot", sa.Column("gates", sa.LargeBinary(), nullable=True))
    op.add_column(
        "conversation", sa.Column("owner", sa.String(200), nullable=False, server_default="")
    )
    op.add_column("conversation", sa.Column("title", sa.Text(), nullable=True))
    op.add_column(
        "conversation",
        sa.Column(
            "updated_at", MOMENT, nullable=False, server_default="1970-01-01 00:00:00.000000"
        ),
    )
    op.create_index("ix_conversation_owner", "conversation", ["owner"])
    op.add_column("message", sa.Column("details", sa.JSON(), nullable=True))
    _fill_conversations()


def _fill_conversations() -> None:
    """What conversations of before would have: their document's owner, the first question for a
    title, the moment of their last message."""
    conversation = sa.table(
        "conversation",
        *map(sa.column, ("id", "document_id", "owner", "title", "created_at", "updated_at")),
    )
    document = sa.table("document", sa.column("id"), sa.column("owner"))
    message = sa.table(
        "message", *map(sa.column, ("conversation_id", "position", "text", "created_at"))
    )
    own = sa.select(document.c.owner).where(document.c.id == conversation.c.document_id)
    said = message.c.conversation_id == conversation.c.id
    first = sa.select(message.c.text).where(said, message.c.position == 0)
    last = sa.select(sa.func.max(message.c.created_at)).where(said)
    op.execute(
        conversation.update().values(
            owner=own.scalar_subquery(),
            title=first.scalar_subquery(),
            updated_at=sa.func.coalesce(last.scalar_subquery(), conversation.c.created_at),
        )
    )


def downgrade() -> None:
    op.drop_column("message", "details")
    op.drop_index("ix_conversation_owner", "conversation")
    for column in ("updated_at", "title", "owner"):
        op.drop_column("conversation", column)
    op.drop_column("snapshot", "gates")
    op.drop_column("document", "examples")
    op.drop_table("user")
