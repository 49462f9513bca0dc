"""Long work: how far it is, what is left, what failed; stop it, and go on."""

from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.desk import Desk, NotOnThePage
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.media_words import WORDS as MEDIA_WORDS
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import Text
from passerelle.media.model import StoreName
from passerelle.media.progress import Progress, Wish

HERE = f"{BASE}/work"
BUSY_EVERY_S, CALM_EVERY_S = 1, 3
BATCHES, FAULTS = 10, 20
MINUTE_S = 60
WORDS = {
    **{name: text for name, text in MEDIA_WORDS.items() if name.startswith(("store_", "migration_"))},
    "title": Text("Long work", "Travaux longs"),
    "lead": Text(
        "What takes a while: how far it is, what is left, what failed. The command line shows the same.",
        "Ce qui prend du temps : où cela en est, ce qui reste, ce qui a échoué. La ligne de commande montre de même.",
    ),
    "moving": Text("Move media from store to store", "Déplacer les médias d'un stockage à l'autre"),
    "moving_lead": Text(
        "Each file is checked before the original may go. A run that was stopped, or broke off, goes on where it was.",
        "Chaque fichier est vérifié avant que l'original parte. Un déplacement interrompu reprend où il en était.",
    ),
    "one_store": Text(
        "Only one store is configured: there is nowhere to move to.",
        "Un seul stockage est configuré : il n'y a nulle part où déplacer.",
    ),
    "no_move": Text("None has run since the start.", "Aucun déplacement depuis le démarrage."),
    "from": Text("From", "De"),
    "to": Text("To", "Vers"),
    "anywhere": Text("anywhere else", "partout ailleurs"),
    "begin": Text("Move files", "Déplacer des fichiers"),
    "stop": Text("Stop", "Arrêter"),
    "stop_now": Text("Leave what is in hand, too", "Laisser aussi les fichiers en cours"),
    "go_on": Text("Go on", "Reprendre"),
    "bar": Text("{done} of {all}", "{done} sur {all}"),
    "part_done": Text("done", "faits"),
    "part_sent": Text("sent", "envoyés"),
    "part_left": Text("left", "restants"),
    "part_failed": Text("failed", "échoués"),
    "part_refused": Text("refused", "refusés"),
    "part_unknown": Text("uncertain", "incertains"),
    "part_cancelled": Text("cancelled", "annulés"),
    "time_left": Text("about {minutes} min left", "encore {minutes} min environ"),
    "reason": Text("Why it ended", "Pourquoi cela s'est arrêté"),
    "faults": Text("What stays where it is", "Ce qui reste où il est"),
    "batches": Text("Messages written down together", "Messages notés ensemble"),
    "batches_lead": Text(
        "The latest batches: POST /api/messages/batch, or passerelle send --csv (500 to a batch).",
        "Les derniers lots : POST /api/messages/batch, ou passerelle send --csv (500 par lot).",
    ),
    "no_batch": Text("No batch among the latest messages.", "Aucun lot parmi les derniers messages."),
    "see_failed": Text("See what failed", "Voir les échecs"),
}


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/work``."""
    migrations = app.migrations

    async def show(visit: Visit) -> Sheet:
        progress = migrations.last
        facts = {
            "progress": progress,
            "parts": None if progress is None else _parts(progress),
            "minutes_left": None if progress is None else _minutes(progress),
            "faults": [] if progress is None else [*progress.failed, *progress.refused][:FAULTS],
            "stores": migrations.stores,
            "batches": await app.batches.newest(visit.who, limit=BATCHES),
        }
        every_s = CALM_EVERY_S if progress is None or progress.is_over else BUSY_EVERY_S
        return Sheet(template="work", here=HERE, words=WORDS, facts=facts, every_s=every_s)

    async def begin(visit: Visit) -> str:
        source, target = visit.field("source"), visit.field("target")
        if target not in set(StoreName) or (source and source not in set(StoreName)):
            raise NotOnThePage
        migrations.start(Wish(source=StoreName(source) if source else None, target=StoreName(target)))
        return HERE

    async def stop(visit: Visit) -> str:  # noqa: ARG001 -- every form is answered by a visit
        migrations.stop()
        return HERE

    async def go_on(visit: Visit) -> str:  # noqa: ARG001 -- the same
        migrations.start(migrations.current().wish)
        return HERE

    return [
        desk.page("/work", show),
        desk.action("/work/media", begin, back=show),
        desk.action("/work/media/stop", stop, back=show),
        desk.action("/work/media/go-on", go_on, back=show),
    ]


def _parts(progress: Progress) -> dict[str, int]:
    failed, refused = len(progress.failed), len(progress.refused)
    return {
        "done": progress.done - failed - refused,
        "left": max(progress.files - progress.done, 0),
        "failed": failed,
        "refused": refused,
    }


def _minutes(progress: Progress) -> int | None:
    left = progress.seconds_left
    return None if left is None else max(1, round(left / MINUTE_S))
