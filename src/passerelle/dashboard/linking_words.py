"""The words of the page that links a phone."""

from passerelle.errors import Text

WORDS = {
    "title": Text("Link a phone", "Lier un téléphone"),
    "lead": Text(
        "Passerelle becomes a linked device of this phone, as WhatsApp Web would. You type a code of 8 characters on"
        " the phone.",
        "Passerelle devient un appareil lié de ce téléphone, comme WhatsApp Web. Vous saisissez un code de 8 caractères"
        " sur le téléphone.",
    ),
    "user_hint": Text(
        "Your own name for whose phone this is, for instance anna.",
        "Votre propre nom pour son titulaire, par exemple anna.",
    ),
    "ask": Text("Get a code", "Obtenir un code"),
    "ask_again": Text("Get a new code", "Obtenir un nouveau code"),
    "begin_anew": Text("Begin anew", "Recommencer"),
    "relink": Text("Link it again", "Le lier à nouveau"),
    "open_attempt": Text("Show the code that is open", "Voir le code en cours"),
    "to_sessions": Text("See the linked phones", "Voir les téléphones liés"),
    "for_whom": Text("{number} for {user}", "{number} pour {user}"),
    # while it goes on
    "queued_title": Text("Asking for a code …", "Demande d'un code …"),
    "queued_lead": Text("It is about to begin.", "Cela va commencer."),
    "connecting_title": Text("WhatsApp is making a code …", "WhatsApp prépare un code …"),
    "connecting_lead": Text(
        "This takes a few seconds. Take the phone in your hand.", "Quelques secondes. Prenez le téléphone en main."
    ),
    "code_title": Text("Type this code on the phone", "Saisissez ce code sur le téléphone"),
    "code_label": Text("The code", "Le code"),
    "scan": Text("Scan a QR code instead", "Scanner plutôt un code QR"),
    "scan_lead": Text(
        "On the phone: Linked devices, Link a device; point the camera here. It changes by itself.",
        "Sur le téléphone : Appareils connectés, Connecter un appareil ; visez ici. Le code change de lui-même.",
    ),
    "scan_alt": Text("QR code that links the phone", "Code QR qui lie le téléphone"),
    "left": Text("left", "restant"),
    "second_code": Text(
        "This is the second code: the first one ran out. There will be no third.",
        "Ceci est le deuxième code : le premier a expiré. Il n'y en aura pas de troisième.",
    ),
    "first_code": Text("If it runs out, a second one comes by itself.", "S'il expire, un deuxième vient de lui-même."),
    "confirming_title": Text("The code was typed. Linking …", "Code saisi. Liaison …"),
    "confirming_lead": Text("Keep the phone open for a moment.", "Gardez le téléphone ouvert un instant."),
    "steps": Text("On the phone", "Sur le téléphone"),
    "step_1": Text("Open WhatsApp.", "Ouvrez WhatsApp."),
    "step_2": Text(
        "Android: tap ⋮, then Linked devices. iPhone: Settings, then Linked devices.",
        "Android : touchez ⋮, puis Appareils connectés. iPhone : Réglages, puis Appareils connectés.",
    ),
    "step_3": Text("Tap Link a device.", "Touchez Connecter un appareil."),
    "step_4": Text(
        "Tap Link with phone number instead, and type the code.",
        "Touchez Connecter avec un numéro de téléphone, et saisissez le code.",
    ),
    "cancel": Text("Give up", "Abandonner"),
    "on_sandbox": Text("Type it on the sandbox phone", "Le saisir sur le téléphone d'essai"),
    # how it ended
    "linked_title": Text("The phone is linked", "Le téléphone est lié"),
    "linked_lead": Text(
        "{number} can send and receive messages for {user} now.",
        "{number} peut désormais envoyer et recevoir des messages pour {user}.",
    ),
    "write": Text("Write a message", "Écrire un message"),
    "another": Text("Link another phone", "Lier un autre téléphone"),
    "failed_title": Text("The phone was not linked", "Le téléphone n'a pas été lié"),
    "expired_title": Text("Nobody typed a code in time", "Aucun code saisi à temps"),
    "expired_lead": Text(
        "Both codes ran out. Ask for a new one when the phone is at hand.",
        "Les deux codes ont expiré. Demandez-en un autre quand le téléphone est à portée de main.",
    ),
    "cancelled_title": Text("Given up", "Abandonné"),
    "cancelled_lead": Text("The code is dead. Nothing was linked.", "Le code n'est plus valable. Rien n'a été lié."),
    # what helps, on this page
    "hint_already_linked": Text(
        "See it among the linked phones. Linking it again ends the session that it has.",
        "Voyez-le parmi les téléphones liés. Le lier à nouveau met fin à sa session actuelle.",
    ),
    "hint_pairing_in_progress": Text(
        "One code at a time: show the one that is open, or begin anew.",
        "Un code à la fois : voyez celui en cours, ou recommencez.",
    ),
    "hint_provider_rate_limited": Text(
        "Only waiting helps: asking sooner makes the wait longer.",
        "Seule l'attente aide : insister l'allonge.",
    ),
    "hint_invalid_user_id": Text("Choose a name of 1 to 200 characters.", "Choisissez un nom de 1 à 200 caractères."),
}
