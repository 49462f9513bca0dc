"""The words of clients and their keys."""

from passerelle.errors import Text

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
    "expired": Text("replaced", "remplacée"),
    "leaving": Text("good until", "valable jusqu'au"),
    "label": Text("Label of the key", "Libellé de la clé"),
    "label_hint": Text(
        "What it is for, so that you know it again; may stay empty.",
        "Son usage, pour la reconnaître ; peut rester vide.",
    ),
    "unlabelled": Text("without a label", "sans libellé"),
    "used": Text("last used", "utilisée le"),
    "never_used": Text("not used yet", "pas encore utilisée"),
    "add_key": Text("One more key", "Une clé de plus"),
    "add_key_button": Text("Make the key", "Créer la clé"),
    "rotate": Text("Replace", "Remplacer"),
    "rotate_ask": Text(
        "A new key takes its place. The old one stays good for the time you choose, so that nothing stops meanwhile.",
        "Une nouvelle clé prend sa place. L'ancienne reste valable le temps choisi, pour que rien ne s'arrête.",
    ),
    "overlap": Text("The old one is good for", "L'ancienne reste valable"),
    "overlap_0": Text("not a moment longer", "pas un instant de plus"),
    "overlap_3600": Text("one hour", "une heure"),
    "overlap_86400": Text("one day", "un jour"),
    "overlap_604800": Text("seven days", "sept jours"),
    "rotate_yes": Text("Make the new key", "Créer la nouvelle clé"),
    "secret_until": Text("The old key is good until", "L'ancienne clé est valable jusqu'au"),
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
