"""Inbox: what came in and was kept, what was deleted since, what could be viewed once."""

from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.addresses import address
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import Text
from passerelle.inbox.ports import InboxFilter

HERE = f"{BASE}/inbox"
EVERY_S = 3
SHOWN, ID_LIMIT = 50, 64
VIEWS = {"": InboxFilter(), "deleted": InboxFilter(deleted=True), "view-once": InboxFilter(view_once=True)}
WORDS = {
    "title": Text("Inbox", "Réception"),
    "view_": Text("All that is kept", "Tout ce qui est conservé"),
    "view_deleted": Text("Deleted by their sender", "Supprimés par l'auteur"),
    "view_view-once": Text("View-once", "Vue unique"),
    "views": Text("Which messages", "Quels messages"),
    "empty": Text("Nothing is kept here.", "Rien n'est conservé ici."),
    "empty_lead": Text(
        "A linked phone keeps nothing unless you say so on its page.",
        "Un téléphone lié ne conserve rien, sauf si vous le dites sur sa page.",
    ),
    "to_user": Text("to {user}", "à {user}"),
    "deleted_at": Text("deleted", "supprimé"),
    "view_once": Text("view-once", "vue unique"),
    "kept_until": Text("kept until", "conservé jusqu'au"),
    "picture": Text("Picture of this message", "Image de ce message"),
    "medium_waiting": Text("its medium is being fetched", "média en cours de récupération"),
    "medium_unavailable": Text("its medium could not be had", "média introuvable"),
    "medium_failed": Text("its medium may not be kept", "média non conservable"),
    "medium_kept": Text("its medium is kept", "média conservé"),
    "remove": Text("Forget", "Oublier"),
    "remove_ask": Text("The message and its medium go.", "Le message et son média disparaissent."),
    "remove_yes": Text("Forget it", "Oublier"),
    "done_removed": Text("Forgotten.", "Oublié."),
}


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/inbox``."""

    async def show(visit: Visit) -> Sheet:
        view, before = visit.asked("view"), visit.asked("before")[:ID_LIMIT]
        view = view if view in VIEWS else ""
        found = await app.inbox.page(visit.who, VIEWS[view], before=before, limit=SHOWN + 1)
        facts = {
            "items": found[:SHOWN],
            "view": view,
            "views": tuple(VIEWS),
            "older": address(HERE, view=view, before=found[SHOWN - 1][0].id) if len(found) > SHOWN else None,
            "newest": address(HERE, view=view) if before else None,
            "has_thumbnail": app.media.has_thumbnail,
        }
        here = address(HERE, view=view, before=before)
        return Sheet(template="inbox", here=here, words=WORDS, facts=facts, every_s=EVERY_S)

    async def remove(visit: Visit) -> str:
        await app.inbox.remove(visit.who, visit.part("id"))
        return f"{HERE}?done=removed"

    return [desk.page("/inbox", show), desk.action("/inbox/{id}/remove", remove, back=show)]
