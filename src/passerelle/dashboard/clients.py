"""Clients and their keys; a key is shown once, on the answer that made it."""

from starlette.routing import Route

from passerelle.clients.model import NAME_LIMIT, ApiKey
from passerelle.clients.service import Clients
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import Conflict, Text

HERE = f"{BASE}/clients"
EVERY_S = 5
WORDS = {
    "title": Text("Clients and keys", "Clients et clés"),
    "lead": Text(
        "A client is a program of yours. It comes in with a key, and sees only its own data.",
        "Un client est l'un de vos programmes. Il entre avec une clé, et ne voit que ses données.",
    ),
    "name": Text("Name", "Nom"),
    "add": Text("Make a client", "Créer un client"),
    "empty": Text("There is no client yet.", "Il n'y a pas encore de client."),
    "key": Text("Key", "Clé"),
    "made": Text("Made", "Créée"),
    "good": Text("good", "valable"),
    "revoked": Text("good no more", "plus valable"),
    "add_key": Text("One more key", "Une clé de plus"),
    "revoke": Text("Revoke", "Révoquer"),
    "revoke_ask": Text(
        "Who comes with this key is refused from now on.", "Qui se présente avec cette clé est refusé désormais."
    ),
    "revoke_yes": Text("Revoke it", "Révoquer"),
    "remove": Text("Remove the client", "Supprimer le client"),
    "remove_ask": Text(
        "The client, all its keys and its data go. Nobody can bring them back.",
        "Le client, ses clés et ses données disparaissent. Personne ne peut les rétablir.",
    ),
    "remove_yes": Text("Remove it", "Supprimer"),
    "closing": Text(
        "No admin key is set. Once a client exists, the gateway asks everybody for a key: this dashboard closes until"
        " PASSERELLE_ADMIN_KEY is set and the gateway is started again.",
        "Aucune clé d'administration n'est définie. Dès qu'un client existe, la passerelle exige une clé : ce tableau"
        " de bord se ferme jusqu'à ce que PASSERELLE_ADMIN_KEY soit définie et la passerelle relancée.",
    ),
    "closing_yes": Text("Close the gateway all the same", "Fermer la passerelle malgré tout"),
    "secret_title": Text("The key of {name}", "La clé de {name}"),
    "secret_lead": Text(
        "Copy it now: it is shown this once, and kept nowhere.",
        "Copiez-la maintenant : elle n'est montrée qu'une fois, et n'est conservée nulle part.",
    ),
    "secret_back": Text("I have it", "Je l'ai"),
    "done_revoked": Text("The key is good no more.", "La clé n'est plus valable."),
    "done_removed": Text("The client is removed.", "Le client est supprimé."),
}


class WouldClose(Conflict):
    """The first client, where no admin key is set."""

    code = "would_close"
    text = Text("This closes the dashboard.", "Cela ferme le tableau de bord.")
    hint = Text("Tick the box to do it all the same.", "Cochez la case pour le faire malgré tout.")


def routes(desk: Desk, clients: Clients) -> list[Route]:
    """``/dashboard/clients``."""

    async def show(visit: Visit) -> Sheet:
        found, reading = await clients.read_all()
        facts = {
            "items": found,
            "reading": reading,
            "name_limit": NAME_LIMIT,
            "would_close": not desk.entry.has_key,
            "name": visit.field("name"),
        }
        return Sheet(template="clients", here=HERE, words=WORDS, facts=facts, every_s=EVERY_S)

    async def add(visit: Visit) -> Sheet:
        if not desk.entry.has_key and visit.field("closing") != "on":
            raise WouldClose
        client, key = await clients.add(visit.field("name"))
        return _secret(client.name, key)

    async def add_key(visit: Visit) -> Sheet:
        key = await clients.add_key(visit.part("id"))
        found, _ = await clients.read_all()
        return _secret(next((one.name for one in found if one.id == key.client_id), key.client_id), key)

    async def revoke(visit: Visit) -> str:
        await clients.revoke_key(visit.part("id"), visit.field("key"))
        return f"{HERE}?done=revoked"

    async def remove(visit: Visit) -> str:
        await clients.remove(visit.part("id"))
        return f"{HERE}?done=removed"

    return [
        desk.page("/clients", show),
        desk.action("/clients", add, back=show),
        desk.action("/clients/{id}/keys", add_key, back=show),
        desk.action("/clients/{id}/revoke", revoke, back=show),
        desk.action("/clients/{id}/remove", remove, back=show),
    ]


def _secret(name: str, key: ApiKey) -> Sheet:
    facts = {"secret": str(key), "name": name, "back": HERE}
    return Sheet(template="secret", here=HERE, words=WORDS, facts=facts)
