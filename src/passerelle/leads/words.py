"""What contractors read on WhatsApp, and what the log says of it (MISSION C6, to the letter)."""

from passerelle.errors import Text
from passerelle.leads.model import Inquiry

SENT = Text("✅ WhatsApp sent (attempt {n}) - Lead {id}", "✅ WhatsApp envoyé (tentative {n}) - Lead {id}")
FAILED_ONCE = Text(
    "⚠️ WhatsApp attempt {n} failed - Lead {id} - Retry in {seconds}s",
    "⚠️ Échec WhatsApp tentative {n} - Lead {id} - Retry dans {seconds}s",
)
FAILED = Text(
    "❌ WhatsApp failed for good (attempt {n}) - Lead {id}", "❌ Échec définitif WhatsApp (tentative {n}) - Lead {id}"
)
_REQUEST = Text(
    "*New request: {trade}*\n\nCustomer: {name}\nPhone: {phone}\nArea: {area}",
    "*Nouvelle demande : {trade}*\n\nClient : {name}\nTéléphone : {phone}\nSecteur : {area}",
)
_DESCRIPTION = Text("\n\nDescription:\n{description}", "\n\nDescription :\n{description}")
_END = Text("\n\nThe customer has confirmed and expects your call.", "\n\nLe client a confirmé et attend votre appel.")


def request_text(inquiry: Inquiry, lang: str) -> str:
    """The message that tells a contractor of a lead."""
    parts = (_REQUEST, _DESCRIPTION, _END) if inquiry.description else (_REQUEST, _END)
    return "".join(part.in_language(lang) for part in parts).format(
        trade=inquiry.trade,
        name=inquiry.name,
        phone=inquiry.phone,
        area=inquiry.area,
        description=inquiry.description,
    )
