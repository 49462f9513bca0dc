"""The words of leads and contractors."""

from passerelle.errors import Text

_BOTH = {
    "name": Text("Name", "Nom"),
    "phone": Text("Phone", "Téléphone"),
    "trade": Text("Trade", "Métier"),
    "area": Text("Area", "Secteur"),
    "remove": Text("Delete", "Supprimer"),
    "remove_yes": Text("Delete it", "Supprimer"),
}
WORDS = {
    **_BOTH,
    "title": Text("Leads", "Demandes"),
    "ask": Text("New lead", "Nouvelle demande"),
    "ask_button": Text("Write it down", "Enregistrer"),
    "description": Text("Description", "Description"),
    "status_new": Text("New", "Nouvelles"),
    "status_assigned": Text("Assigned", "Attribuées"),
    "status_unassigned": Text("Waiting for somebody", "En attente d'un artisan"),
    "status_closed": Text("Closed", "Closes"),
    "one_new": Text("not confirmed yet", "pas encore confirmée"),
    "one_assigned": Text("assigned", "attribuée"),
    "one_unassigned": Text("waiting", "en attente"),
    "one_closed": Text("closed", "close"),
    "none_here": Text("None.", "Aucune."),
    "notification": Text("Contractor told", "Artisan prévenu"),
    "notice_pending": Text("not told yet", "pas encore prévenu"),
    "notice_whatsapp_sent": Text("told by WhatsApp", "prévenu par WhatsApp"),
    "notice_whatsapp_failed": Text("could not be told", "n'a pas pu être prévenu"),
    "tries": Text("tries: {count}", "essais : {count}"),
    "earlier": Text("Rows from before", "Lignes d'avant"),
    "contractor": Text("Contractor", "Artisan"),
    "nobody": Text("nobody", "personne"),
    "asked_at": Text("Asked", "Demandée"),
    "confirmed_at": Text("Confirmed", "Confirmée"),
    "confirm_link": Text("Link for the customer to confirm", "Lien de confirmation pour le client"),
    "the_message": Text("The message to the contractor", "Le message à l'artisan"),
    "close": Text("Close it", "La clore"),
    "take_away": Text("Take it away", "La retirer"),
    "hand": Text("Hand it to", "La confier à"),
    "hand_button": Text("Hand over", "Confier"),
    "remove_ask": Text("The lead is forgotten, its row too.", "La demande et sa ligne sont oubliées."),
    "done_removed": Text("The lead is deleted.", "La demande est supprimée."),
    "hint_lead_closed": Text("Write down a new one.", "Enregistrez-en une nouvelle."),
    "hint_lead_not_confirmed": Text(
        "The customer confirms by his link first.", "Le client confirme d'abord par son lien."
    ),
}
CONTRACTOR_WORDS = {
    **_BOTH,
    "title": Text("Contractors", "Artisans"),
    "add": Text("Add a contractor", "Ajouter un artisan"),
    "add_button": Text("Add", "Ajouter"),
    "edit": Text("Change", "Modifier"),
    "trades": Text("Trades", "Métiers"),
    "areas": Text("Areas", "Secteurs"),
    "list_hint": Text("With commas between; empty: all.", "Séparés par des virgules ; vide : tous."),
    "capacity": Text("Leads at once", "Demandes à la fois"),
    "open_of": Text("open leads: {open} of {capacity}", "demandes en cours : {open} sur {capacity}"),
    "any_trade": Text("every trade", "tous métiers"),
    "anywhere": Text("everywhere", "partout"),
    "active": Text("gets leads", "reçoit des demandes"),
    "inactive": Text("gets no new leads", "n'en reçoit plus"),
    "pause": Text("Give no more", "Ne plus en confier"),
    "resume": Text("Give leads again", "En confier à nouveau"),
    "empty": Text("There is nobody who gets leads yet.", "Personne ne reçoit encore de demandes."),
    "empty_lead": Text(
        "Confirmed leads wait until there is somebody.", "Les demandes confirmées attendent qu'il y ait quelqu'un."
    ),
    "remove_ask": Text(
        "His open leads wait for others, or go to them at once.", "Ses demandes en cours vont à d'autres, ou attendent."
    ),
    "done_added": Text("Added.", "Ajouté."),
    "done_saved": Text("Saved.", "Enregistré."),
    "done_removed": Text("Deleted.", "Supprimé."),
}
