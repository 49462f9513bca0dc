"""The words of the sandbox's phones, and of all that can go wrong there."""

from passerelle.errors import Text
from passerelle.sandbox.faults import FaultKind

WORDS = {
    "title": Text("Sandbox phones", "Téléphones d'essai"),
    "lead": Text(
        "Simulated phones on a simulated WhatsApp. Link one, write to it, answer from it, let things go wrong.",
        "Des téléphones simulés sur un WhatsApp simulé. Liez-en un, écrivez-lui, répondez, provoquez des pannes.",
    ),
    "search": Text("Name or number", "Nom ou numéro"),
    "search_button": Text("Look for it", "Chercher"),
    "none_found": Text("No such phone.", "Aucun téléphone de ce nom ou numéro."),
    "more": Text("More phones", "D'autres téléphones"),
    "newest": Text("Back to the first ones", "Revenir aux premiers"),
    "elsewhere": Text(
        "The simulated phones are held by another process.", "Les téléphones simulés sont tenus par un autre processus."
    ),
    "elsewhere_lead": Text(
        "Several processes share this gateway, or PASSERELLE_SANDBOX_URL names another machine. The phones cannot be"
        " shown here, and work all the same: use the addresses under /sandbox.",
        "Plusieurs processus partagent cette passerelle, ou PASSERELLE_SANDBOX_URL désigne une autre machine. Les"
        " téléphones ne peuvent être montrés ici, mais fonctionnent : utilisez les adresses sous /sandbox.",
    ),
    "elsewhere_fix": Text(
        "To play with them on this page, run one process on SQLite: passerelle demo.",
        "Pour jouer avec eux sur cette page, lancez un seul processus sur SQLite : passerelle demo.",
    ),
    "elsewhere_docs": Text("The interface for programs", "L'interface pour les programmes"),
    "empty": Text("There is no phone yet.", "Il n'y a pas encore de téléphone."),
    "empty_lead": Text(
        "One comes by itself when you link or write to its number; or make one here.",
        "Il en vient un dès que vous liez son numéro ou lui écrivez ; ou créez-en un ici.",
    ),
    "make": Text("Make a phone", "Créer un téléphone"),
    "name": Text("Name", "Nom"),
    "type_code": Text("Linking code", "Code de liaison"),
    "enter": Text("Type it", "Saisir"),
    "linked_once": Text("linked", "lié"),
    "not_linked": Text("not linked", "non lié"),
    "online": Text("online", "en ligne"),
    "offline_now": Text("offline", "hors ligne"),
    "go_online": Text("Go online", "En ligne"),
    "go_offline": Text("Go offline", "Hors ligne"),
    "read_all": Text("Read all", "Tout lire"),
    "no_message": Text("Nothing has arrived yet.", "Rien n'est encore arrivé."),
    "to": Text("To", "À"),
    "text": Text("Message", "Message"),
    "send": Text("Send", "Envoyer"),
    "send_once": Text("Send a view-once photo", "Envoyer une photo à vue unique"),
    "view_once": Text("View-once photo", "Photo à vue unique"),
    "delete": Text("Delete", "Supprimer"),
    "deleted": Text("This message was deleted.", "Ce message a été supprimé."),
    "medium": Text("Medium", "Média"),
    "chat_of": Text("What is on the phone {number}", "Ce qui se trouve sur le téléphone {number}"),
    "from_whom": Text("From {number}", "De {number}"),
    "to_whom": Text("To {number}", "À {number}"),
    "faults": Text("Let something go wrong", "Provoquer une panne"),
    "faults_lead": Text(
        "It hits the next thing that it fits, so often as you say.",
        "Elle frappe la prochaine opération qui lui convient, autant de fois que dit.",
    ),
    "fault_number": Text("Only for this phone", "Pour ce téléphone seul"),
    "any_phone": Text("Any phone", "N'importe lequel"),
    "times": Text("How often", "Combien de fois"),
    "armed": Text("Still to come", "À venir"),
    "armed_none": Text("Nothing will go wrong.", "Aucune panne à venir."),
    "clear": Text("Forget them", "Tout annuler"),
    "group_linking": Text("While linking", "Pendant la liaison"),
    "group_sending": Text("While sending", "À l'envoi"),
    "group_events": Text("Events", "Événements"),
    "clock": Text("Move the clock", "Avancer l'horloge"),
    "clock_lead": Text(
        "Codes, retries and schedules follow it. It is {ahead} ahead of real time.",
        "Codes, nouveaux essais et envois programmés la suivent. Avance : {ahead}.",
    ),
    "clock_now": Text("It is now", "Il est"),
    "step_1_min": Text("+ 1 minute", "+ 1 minute"),
    "step_3_min": Text("+ 3 minutes", "+ 3 minutes"),
    "step_1_hour": Text("+ 1 hour", "+ 1 heure"),
    "step_1_day": Text("+ 1 day", "+ 1 jour"),
    "reset": Text("Reset the sandbox", "Réinitialiser le bac à sable"),
    "reset_ask": Text(
        "Phones, links, messages, faults and the moved clock are forgotten.",
        "Téléphones, liaisons, messages, pannes et horloge sont oubliés.",
    ),
    "reset_yes": Text("Forget everything", "Tout oublier"),
    "done_fault": Text("It is about to go wrong.", "La panne est prête."),
    "done_reset": Text("The sandbox is as new.", "Le bac à sable est comme neuf."),
}
_FRENCH = {
    FaultKind.INVALID_PHONE: "WhatsApp n'accepte pas le numéro.",
    FaultKind.ALREADY_LINKED: "WhatsApp dit que le numéro est déjà lié.",
    FaultKind.PAIRING_IN_PROGRESS: "WhatsApp dit qu'une autre liaison du numéro est en cours.",
    FaultKind.RATE_OVERLIMIT: "WhatsApp refuse tout nouveau code au numéro pendant 15 minutes.",
    FaultKind.PASSKEY_REQUIRED: "Le compte ne peut être lié qu'avec sa clé d'accès.",
    FaultKind.BAD_DISPLAY_NAME: "WhatsApp refuse le nom que se donne la passerelle.",
    FaultKind.PROVIDER_UNAVAILABLE: "WhatsApp refuse la connexion.",
    FaultKind.NO_CODE: "WhatsApp ne répond jamais à la demande de code.",
    FaultKind.SLOW_CODE: "La connexion prend 15 secondes et le code 15 autres, à l'horloge du bac à sable.",
    FaultKind.DISCONNECT_WHILE_PAIRING: "La connexion est perdue 0,2 seconde après son code.",
    FaultKind.LOGGED_OUT_AFTER_LINK: "WhatsApp retire l'appareil 0,5 seconde après la liaison.",
    FaultKind.SEND_ERROR: "L'envoi échoue ; réessayer aide.",
    FaultKind.SEND_TIMEOUT_BEFORE: "L'envoi n'aboutit pas à temps, et rien n'a été transmis.",
    FaultKind.SEND_TIMEOUT_AFTER: "Le message est accepté, mais la réponse se perd.",
    FaultKind.RESTRICTED_463: "WhatsApp restreint le compte.",
    FaultKind.NOT_ON_WHATSAPP: "Le destinataire n'a pas WhatsApp.",
    FaultKind.TEMPORARY_BAN: "WhatsApp bannit le compte pour un temps.",
    FaultKind.HANG: "L'envoi ne répond jamais.",
    FaultKind.DUPLICATE_EVENT: "Un événement arrive deux fois.",
    FaultKind.REORDERED_RECEIPTS: "Les accusés arrivent dans le désordre.",
    FaultKind.MEDIA_UNAVAILABLE: "Le média d'un message ne peut pas être récupéré.",
}
_LINKING = tuple(FaultKind)[: tuple(FaultKind).index(FaultKind.SEND_ERROR)]
_EVENTS = (FaultKind.DUPLICATE_EVENT, FaultKind.REORDERED_RECEIPTS, FaultKind.MEDIA_UNAVAILABLE)
FAULT_GROUPS = {
    "linking": _LINKING,
    "sending": tuple(kind for kind in FaultKind if kind not in {*_LINKING, *_EVENTS}),
    "events": _EVENTS,
}
WORDS |= {f"fault_{kind.value}": Text(kind.sentence, _FRENCH[kind]) for kind in FaultKind}
