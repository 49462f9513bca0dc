"""Linked phones: how each stands, and what may be kept of what it hears."""

from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import Invalid, Text
from passerelle.inbox.model import LONGEST_RETENTION_DAYS, Capture
from passerelle.sessions.model import SessionState
from passerelle.sessions.ports import Sighting

HERE = f"{BASE}/sessions"
EVERY_S = 2
SHOWN = 200
DIGITS = 9
NEVER_SEEN = Sighting(None, None)
WORDS = {
    "title": Text("Linked phones", "Téléphones liés"),
    "empty": Text("No phone is linked yet.", "Aucun téléphone n'est encore lié."),
    "empty_lead": Text(
        "Link one with a code: it takes less than a minute.", "Liez-en un avec un code : moins d'une minute."
    ),
    "source": Text("From {source}, as of", "Depuis {source}, au"),
    "from_memory": Text(
        "Their home is away: this is what was seen last.", "Leur stockage est injoignable : dernier état connu."
    ),
    "worker": Text("Held by", "Tenu par"),
    "last_seen": Text("Last seen", "Vu pour la dernière fois"),
    "connected_at": Text("Connected", "Connecté depuis"),
    "unlink": Text("Unlink", "Délier"),
    "unlink_ask": Text(
        "The phone is unlinked; it must be linked anew.", "Le téléphone est délié ; il faudra le lier à nouveau."
    ),
    "unlink_yes": Text("Unlink it", "Délier"),
    "reconnect": Text("Reconnect", "Reconnecter"),
    "relink": Text("Link again", "Lier à nouveau"),
    "write": Text("Write", "Écrire"),
    "capture": Text("What is kept", "Ce qui est conservé"),
    "capture_lead": Text(
        "Nothing of what this phone hears is kept, unless you say so here.",
        "Rien de ce que ce téléphone reçoit n'est conservé, sauf si vous le dites ici.",
    ),
    "deleted": Text(
        "Messages, so that they can be read after their sender deleted them",
        "Les messages, pour les lire encore après suppression par leur auteur",
    ),
    "view_once": Text("Messages that can be viewed once", "Les messages à vue unique"),
    "retention_days": Text("Kept for so many days", "Conservés pendant (jours)"),
    "unlinked_before": Text("Unlinked", "Déliés"),
    "done_reconnecting": Text("It is being connected anew.", "La reconnexion est en cours."),
    "done_unlinked": Text("The phone is unlinked.", "Le téléphone est délié."),
    "done_saved": Text("Saved.", "Enregistré."),
    "reason_ended_here": Text("unlinked here", "délié ici"),
    "reason_removed_by_phone": Text("removed on the phone", "retiré sur le téléphone"),
    "reason_linked_again": Text("linked again", "lié à nouveau"),
}


class InvalidRetention(Invalid):
    """Days that nobody keeps anything for."""

    code = "invalid_retention"
    text = Text(
        f"Choose between 1 and {LONGEST_RETENTION_DAYS} days.", f"Choisissez de 1 à {LONGEST_RETENTION_DAYS} jours."
    )
    hint = Text("Nothing was changed.", "Rien n'a été modifié.")


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/sessions``."""
    return [*_many(desk, app), *_one(desk, app)]


def _many(desk: Desk, app: App) -> list[Route]:
    """The list."""

    async def show(visit: Visit) -> Sheet:
        reading = await app.sessions.read_all(visit.who)
        linked = [one for one in reading.sessions if one.state is not SessionState.LOGGED_OUT]
        ended = [one for one in reading.sessions if one.state is SessionState.LOGGED_OUT]
        facts = {
            "linked": linked[:SHOWN],
            "ended": ended[::-1][:SHOWN],
            "reading": reading,
            "sightings": reading.sightings,
            "never": NEVER_SEEN,
        }
        return Sheet(template="sessions", here=HERE, words=WORDS, facts=facts, every_s=EVERY_S)

    return [
        desk.page("/sessions", show),
    ]


def _one(desk: Desk, app: App) -> list[Route]:
    """One of them."""

    async def show_one(visit: Visit) -> Sheet:
        session, reading = await app.sessions.get(visit.who, visit.part("id"))
        facts = {
            "session": session,
            "reading": reading,
            "sighting": reading.sightings.get(session.id, NEVER_SEEN),
            "capture": await app.inbox.capture(visit.who, session.id),
            "longest": LONGEST_RETENTION_DAYS,
        }
        return Sheet(template="session", here=f"{HERE}/{session.id}", words=WORDS, facts=facts, every_s=EVERY_S)

    async def reconnect(visit: Visit) -> str:
        await app.sessions.reconnect(visit.who, visit.part("id"))
        return f"{HERE}/{visit.part('id')}?done=reconnecting"

    async def unlink(visit: Visit) -> str:
        await app.sessions.end(visit.who, visit.part("id"))
        return f"{HERE}?done=unlinked"

    async def set_capture(visit: Visit) -> str:
        await app.inbox.set_capture(visit.who, visit.part("id"), _capture(visit))
        return f"{HERE}/{visit.part('id')}?done=saved"

    return [
        desk.page("/sessions/{id}", show_one),
        desk.action("/sessions/{id}/reconnect", reconnect, back=show_one),
        desk.action("/sessions/{id}/unlink", unlink, back=show_one),
        desk.action("/sessions/{id}/capture", set_capture, back=show_one),
    ]


def _capture(visit: Visit) -> Capture:
    days = visit.field("retention_days")
    if not (days.isdecimal() and len(days) < DIGITS and 1 <= int(days) <= LONGEST_RETENTION_DAYS):
        raise InvalidRetention
    wanted = {name: visit.field(name) == "on" for name in ("deleted", "view_once")}
    return Capture(**wanted, retention_days=int(days))
