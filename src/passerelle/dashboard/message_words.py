"""The words of messages."""

from passerelle.errors import Text

WORDS = {
    "title": Text("Messages", "Messages"),
    "one": Text("Message", "Message"),
    "write": Text("Write a message", "Écrire un message"),
    "speaker": Text("From the phone of", "Depuis le téléphone de"),
    "no_speaker": Text(
        "Link a phone first: then it can send messages.", "Liez d'abord un téléphone : il pourra envoyer des messages."
    ),
    "recipient": Text("To", "À"),
    "text": Text("Text", "Texte"),
    "at": Text("When (leave empty for now)", "Quand (vide : maintenant)"),
    "zone_utc": Text("In UTC.", "En UTC."),
    "zone_own": Text("In your own time.", "À votre heure."),
    "send": Text("Send", "Envoyer"),
    "filter": Text("Filter", "Filtrer"),
    "list": Text("Messages, newest first", "Messages, les plus récents d'abord"),
    "empty": Text("No message here.", "Aucun message ici."),
    "empty_lead": Text("What you send shows up here at once.", "Ce que vous envoyez apparaît ici aussitôt."),
    "attempts_of": Text("tries: {attempts} of {max}", "essais : {attempts} sur {max}"),
    "attempts": Text("Tries", "Essais"),
    "due": Text("Due", "Prévu"),
    "created": Text("Written down", "Noté"),
    "last_error": Text("Last error", "Dernière erreur"),
    "history": Text("History", "Historique"),
    "cancel": Text("Cancel it", "L'annuler"),
    "retry": Text("Try again now", "Réessayer maintenant"),
    "of_lead": Text("It tells a contractor of a lead.", "Il prévient un artisan d'une demande."),
    "from_user": Text("From", "De"),
    "medium": Text("Medium", "Média"),
    "type": Text("Type", "Type"),
    "status_pending": Text("pending", "en attente"),
    "status_claimed": Text("pending", "en attente"),
    "status_sending": Text("sending", "en cours d'envoi"),
    "status_sent": Text("sent", "envoyé"),
    "status_delivered": Text("delivered", "livré"),
    "status_read": Text("read", "lu"),
    "status_failed": Text("failed", "échoué"),
    "status_unknown": Text("uncertain", "incertain"),
    "status_cancelled": Text("cancelled", "annulé"),
}
