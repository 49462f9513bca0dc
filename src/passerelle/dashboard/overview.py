"""The first page: how things are, and where to go."""

from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.health import EVERY_S
from passerelle.dashboard.message_words import WORDS as MESSAGE_WORDS
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import Text
from passerelle.sessions.model import SessionState

SHOWN = 6  # messages
WORDS = {
    "title": Text("Overview", "Vue d'ensemble"),
    "connected_of": Text("connected: {connected} of {all}", "connectés : {connected} sur {all}"),
    "no_phone": Text("No phone is linked yet.", "Aucun téléphone n'est encore lié."),
    "link_first": Text("Link the first phone", "Lier un premier téléphone"),
    "to_mend": Text("things to look at: {count}", "points à regarder : {count}"),
    "latest": Text("Latest messages", "Derniers messages"),
    "no_message": Text("Nothing has been said yet.", "Rien n'a encore été dit."),
    "see_all": Text("See all", "Tout voir"),
}


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard``."""

    async def show(visit: Visit) -> Sheet:
        reading = await app.sessions.read_all(visit.who)
        linked = [one for one in reading.sessions if one.state is not SessionState.LOGGED_OUT]
        report = await app.diagnosis.report()
        facts = {
            "linked": linked,
            "connected": sum(one.state is SessionState.CONNECTED for one in linked),
            "health": report.health,
            "bad": sum(finding.level.is_bad for finding in report.findings),
            "items": await app.messages.page(visit.who, limit=SHOWN),
        }
        return Sheet(template="overview", here=BASE, words={**MESSAGE_WORDS, **WORDS}, facts=facts, every_s=EVERY_S)

    return [desk.page("", show)]
