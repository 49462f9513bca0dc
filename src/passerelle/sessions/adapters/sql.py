"""The phone book in SQL."""

from passerelle.db import Tx


class SqlPhoneBook:
    """See `PhoneBook`."""

    async def session_of(self, tx: Tx, *, client_id: str, phone_number: str) -> str | None:
        """See `PhoneBook.session_of`."""
        rows = await tx.sql(
            "SELECT session_id FROM linked_phones WHERE client_id = :client_id AND phone_number = :phone_number",
            client_id=client_id,
            phone_number=phone_number,
        )
        return rows[0]["session_id"] if rows else None

    async def put(self, tx: Tx, *, client_id: str, phone_number: str, session_id: str, user_id: str) -> None:
        """See `PhoneBook.put`."""
        await tx.sql(
            "INSERT INTO linked_phones (client_id, phone_number, session_id, user_id, linked_us)"
            " VALUES (:client_id, :phone_number, :session_id, :user_id, :db_now) ON CONFLICT (client_id, phone_number)"
            " DO UPDATE SET session_id = excluded.session_id, user_id = excluded.user_id,"
            " linked_us = excluded.linked_us",
            client_id=client_id,
            phone_number=phone_number,
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
