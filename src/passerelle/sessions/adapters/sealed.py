"""The sealed proxies of linked phones, as the keyring sees them."""

from passerelle.db import Row, Tx
from passerelle.keyring.model import Page, Tally
from passerelle.sessions.model import ProxyLost
from passerelle.sessions.sealing import ProxySeal

_PAGE = """
SELECT session_id, proxy FROM linked_phones WHERE proxy IS NOT NULL AND session_id > :after
ORDER BY session_id LIMIT :at_most
"""
_RENEW = "UPDATE linked_phones SET proxy = :renewed WHERE session_id = :session_id AND proxy = :proxy"


class SqlSealedProxies:
    """See `Sealed`."""

    name = "proxies"

    def __init__(self, seal: ProxySeal) -> None:
        """Rows hold what `seal` has closed."""
        self._seal = seal

    async def look(self, tx: Tx, *, after: str, limit: int, renew: bool) -> Page:
        """See `Sealed.look`."""
        rows = await tx.sql(_PAGE, after=after, at_most=limit)
        current, earlier = 0, list[Row]()
        for row in rows:
            try:
                renewed = self._seal.renewed(row["proxy"])
            except ProxyLost:
                continue
            if renewed is None:
                current += 1
            else:
                earlier.append(row | {"renewed": renewed})
        lost = len(rows) - current - len(earlier)
        if renew:
            await tx.many(_RENEW, earlier)
            current, earlier = current + len(earlier), []
        return Page(Tally(current, len(earlier), lost), rows[-1]["session_id"] if rows else None)
