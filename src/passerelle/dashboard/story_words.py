"""The words of the guided tour."""

from passerelle.errors import Text

WORDS = {
    "title": Text("Guided tour", "Visite guidée"),
    "lead": Text(
        "Five steps, done for real on a simulated WhatsApp. Nothing leaves this machine.",
        "Cinq étapes, faites pour de vrai sur un WhatsApp simulé. Rien ne quitte cette machine.",
    ),
    "greeting": Text("Good morning from Passerelle!", "Bonjour de la part de Passerelle !"),
    "trade": Text("electricity", "électricité"),
    "step1": Text("Link Emma's phone", "Lier le téléphone d'Emma"),
    "step1_lead": Text(
        "Ask for a code, then type it on Emma's phone beside.",
        "Demandez un code, puis saisissez-le sur le téléphone d'Emma, à côté.",
    ),
    "step1_button": Text("Ask for a code", "Demander un code"),
    "step1_type": Text("Type it for me", "Le saisir pour moi"),
    "step1_done": Text("Emma's phone is linked.", "Le téléphone d'Emma est lié."),
    "step2": Text("Send a message", "Envoyer un message"),
    "step2_lead": Text(
        "Emma writes to Louis. The message is written down before it is tried; watch its ticks.",
        "Emma écrit à Louis. Le message est noté avant d'être tenté ; suivez ses coches.",
    ),
    "step2_button": Text("Send it", "L'envoyer"),
    "step2_read": Text(
        "Tap “Read all” on Louis's phone: the ticks turn blue.",
        "Touchez « Tout lire » sur le téléphone de Louis : les coches deviennent bleues.",
    ),
    "step3": Text("Confirm a lead", "Confirmer une demande"),
    "step3_lead": Text(
        "Hugo needs an electrician in Nice. Once he confirms by his link, Nadia is told on WhatsApp.",
        "Hugo cherche un électricien à Nice. Dès qu'il confirme par son lien, Nadia est prévenue sur WhatsApp.",
    ),
    "step3_button": Text("Hugo asks", "Hugo demande"),
    "step3_confirm": Text("Confirm as Hugo", "Confirmer pour Hugo"),
    "step3_page": Text("See the page that Hugo gets", "Voir la page que reçoit Hugo"),
    "step3_waiting": Text("Nadia is being told …", "Nadia va être prévenue …"),
    "step3_done": Text("Nadia has it on her phone: whatsapp_sent.", "Nadia l'a sur son téléphone : whatsapp_sent."),
    "step4": Text("Redis is away", "Redis est absent"),
    "step4_absent": Text(
        "There is nothing to kill: no Redis is configured here (state “absent”), and all you saw works without one. In"
        " production Redis holds clients and linked phones; when it dies, reads go on from memory, marked as such;"
        " linking and sending go on; only new clients and logins wait.",
        "Rien à arrêter : aucun Redis n'est configuré ici (état « absent »), et tout ce que vous avez vu s'en passe. En"
        " production, Redis garde clients et téléphones liés ; s'il tombe, la lecture continue depuis la mémoire,"
        " signalée comme telle ; liaisons et envois continuent ; seuls les nouveaux clients et connexions attendent.",
    ),
    "step4_up": Text(
        "Redis is configured here and up. Stop it, if you like, and go on sending: this page tells when it is away.",
        "Redis est configuré ici et répond. Arrêtez-le si vous voulez et continuez d'envoyer : cette page le dira.",
    ),
    "step4_down": Text(
        "Redis is down just now. Linked phones are shown from memory, and messages go on.",
        "Redis ne répond pas. Les téléphones liés sont lus en mémoire, et les messages continuent.",
    ),
    "step4_health": Text("See what Health says", "Voir ce que dit Santé"),
    "step4_button": Text("Understood", "Compris"),
    "step5": Text("Nothing broke", "Rien n'a cassé"),
    "step5_lead": Text(
        "At the end: the phone linked, the message read or delivered, Nadia told.",
        "À la fin : le téléphone lié, le message livré ou lu, Nadia prévenue.",
    ),
    "step5_done": Text(
        "The phone is linked, the message arrived, Nadia was told. Now let something go wrong on purpose.",
        "Le téléphone est lié, le message est arrivé, Nadia a été prévenue. Provoquez maintenant une panne.",
    ),
    "step5_more": Text("To the sandbox phones", "Vers les téléphones d'essai"),
    "status_pending": Text("written down", "noté"),
    "status_claimed": Text("written down", "noté"),
    "status_sending": Text("on its way", "en cours d'envoi"),
    "status_sent": Text("sent", "envoyé"),
    "status_delivered": Text("delivered", "livré"),
    "status_read": Text("read", "lu"),
    "status_failed": Text("failed", "échoué"),
    "status_unknown": Text("uncertain", "incertain"),
    "status_cancelled": Text("cancelled", "annulé"),
    "hint_not_linked": Text("Do step 1 first.", "Faites d'abord l'étape 1."),
    "hint_user_not_found": Text("Do step 1 first.", "Faites d'abord l'étape 1."),
}
