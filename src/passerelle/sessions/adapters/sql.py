"""The phone book in SQL."""

from passerelle.db import Tx
from passerelle.sessions.ports import LinkedPhone, Number


class SqlPhoneBook:
    """See `PhoneBook`."""

    async def find(self, tx: Tx, numbers: list[Number]) -> dict[Number, LinkedPhone]:
        """See `PhoneBook.find`."""
        rows = await tx.sql(
            "SELECT linked.client_id, linked.phone_number, session_id, device FROM linked_phones AS linked"
            " JOIN EACH(:numbers AS (client_id TEXT, phone_number TEXT)) AS wanted"
            " ON linked.client_id = wanted.client_id AND linked.phone_number = wanted.phone_number",
            numbers=[number._asdict() for number in numbers],
        )
        return {
            Number(row["client_id"], row["phone_number"]): LinkedPhone(row["session_id"], row["device"]) for row in rows
        }

    async def put(self, tx: Tx, number: Number, linked: LinkedPhone, *, user_id: str) -> None:
        """See `PhoneBook.put`."""
        await tx.sql(
            "INSERT INTO linked_phones (client_id, phone_number, session_id, user_id, device, linked_us)"
            " VALUES (:client_id, :phone_number, :session_id, :user_id, :device, :db_now)"
            " ON CONFLICT (client_id, phone_number) DO UPDATE SET"
            " session_id = excluded.session_id, user_id = excluded.user_id,"
            " device = excluded.device, linked_us = excluded.linked_us",
            **number._asdict(),
            **linked._asdict(),
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
