"""The phone book in SQL."""

from passerelle.db import Tx
from passerelle.sessions.ports import Number


class SqlPhoneBook:
    """See `PhoneBook`."""

    async def sessions_of(self, tx: Tx, numbers: list[Number]) -> dict[Number, str]:
        """See `PhoneBook.sessions_of`."""
        rows = await tx.sql(
            "SELECT linked.client_id, linked.phone_number, session_id FROM linked_phones AS linked"
            " JOIN EACH(:numbers AS (client_id TEXT, phone_number TEXT)) AS wanted"
            " ON linked.client_id = wanted.client_id AND linked.phone_number = wanted.phone_number",
            numbers=[number._asdict() for number in numbers],
        )
        return {Number(row["client_id"], row["phone_number"]): row["session_id"] for row in rows}

    async def put(self, tx: Tx, number: Number, *, session_id: str, user_id: str) -> None:
        """See `PhoneBook.put`."""
        await tx.sql(
            "INSERT INTO linked_phones (client_id, phone_number, session_id, user_id, linked_us)"
            " VALUES (:client_id, :phone_number, :session_id, :user_id, :db_now) ON CONFLICT (client_id, phone_number)"
            " DO UPDATE SET session_id = excluded.session_id, user_id = excluded.user_id,"
            " linked_us = excluded.linked_us",
            client_id=number.client_id,
            phone_number=number.phone_number,
            session_id=session_id,
            user_id=user_id,
        )

    async def remove(self, tx: Tx, *, client_id: str, session_id: str) -> bool:
        """See `PhoneBook.remove`."""
        rows = await tx.sql(
            "DELETE FROM linked_phones WHERE client_id = :client_id AND session_id = :session_id RETURNING session_id",
            client_id=client_id,
            session_id=session_id,
        )
        return bool(rows)
