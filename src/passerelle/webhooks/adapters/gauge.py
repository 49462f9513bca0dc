"""How endpoints stand, in SQL; a client has fifty at most."""

from datetime import datetime

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.webhooks.ports import SwitchedOff

_OFF = """
SELECT COUNT(CASE WHEN off_reason = 'gone' THEN 1 END) AS gone,
    COUNT(CASE WHEN off_reason = 'failing' THEN 1 END) AS failing
FROM webhook_endpoints WHERE off_us >= :since_us AND removed_us IS NULL
"""


class SqlEndpointGauge:
    """See `EndpointGauge`."""

    async def switched_off(self, tx: Tx, *, since: datetime) -> SwitchedOff:
        """See `EndpointGauge.switched_off`."""
        (row,) = await tx.sql(_OFF, since_us=to_us(since))
        return SwitchedOff(gone=row["gone"], failing=row["failing"])
