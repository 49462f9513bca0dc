"""The words of health."""

from passerelle.errors import Text

GROUPS = {
    "redis_available": Text("Redis: reachable", "Redis : joignable"),
    "redis_health": Text("Redis: healthy", "Redis : en forme"),
    "data_in_redis": Text("Records", "Enregistrements"),
    "environment": Text("Settings", "Réglages"),
    "database": Text("Database", "Base de données"),
    "whatsapp": Text("WhatsApp", "WhatsApp"),
    "media": Text("Stores of media", "Stockages des médias"),
    "progress": Text("Work under way", "Travaux en cours"),
}
WORDS = {
    "title": Text("Health", "Santé"),
    "cause": Text("Cause", "Cause"),
    "fix": Text("What helps", "Remède"),
    "as_of": Text("Examined", "Examiné"),
    "to_mend": Text("To be mended", "À corriger"),
    "by_part": Text("Part by part", "Partie par partie"),
    "nothing_to_mend": Text("Nothing is to be mended.", "Rien n'est à corriger."),
    "level_ok": Text("Fine", "Correct"),
    "level_warning": Text("Warning", "Avertissement"),
    "level_error": Text("Error", "Erreur"),
    "level_skipped": Text("Not looked at", "Non examiné"),
    # charts
    "traffic": Text("Messages through the gateway", "Messages passés par la passerelle"),
    "period": Text("Shown time", "Durée affichée"),
    "period_hour": Text("Last hour", "Dernière heure"),
    "period_day": Text("Last day", "Dernier jour"),
    "throughput": Text("Settled per minute", "Réglés par minute"),
    "throughput_now": Text("{settled} settled, {failed} of them failed", "{settled} réglés, dont {failed} échoués"),
    "latency": Text("From accepted to sent", "De l'acceptation à l'envoi"),
    "latency_now": Text("half in {half}, 95% in {most}", "la moitié en {half}, 95 % en {most}"),
    "latency_none": Text("nothing was sent", "rien n'a été envoyé"),
    "waiting": Text("Waiting", "En attente"),
    "waiting_now": Text("{count} now", "{count} en ce moment"),
    "key_sent": Text("sent", "envoyés"),
    "key_failed": Text("failed", "échoués"),
    "key_half": Text("half of them (p50)", "la moitié (p50)"),
    "key_most": Text("95 in 100 (p95)", "95 sur 100 (p95)"),
    "key_waiting": Text("waiting", "en attente"),
    "scale": Text("The scale ends at {top}.", "L'échelle va jusqu'à {top}."),
    "as_table": Text("The same as a table", "Les mêmes chiffres en tableau"),
    "column_time": Text("From", "À partir de"),
    "no_traffic": Text("No message in this time.", "Aucun message sur cette durée."),
    "no_traffic_lead": Text(
        "As soon as one is sent, its way is drawn here.", "Dès qu'un message part, son trajet se dessine ici."
    ),
    "counted_from": Text(
        "There were very many: only messages written down since then are counted:",
        "Ils furent très nombreux : seuls comptent les messages notés depuis :",
    ),
    "away": Text(
        "The database is away just now. What was found is shown; charts and history come back by themselves.",
        "La base de données est injoignable. Les constats restent ; graphiques et historique reviendront seuls.",
    ),
    # history
    "history": Text("History", "Historique"),
    "history_lead": Text(
        "What changed in the last 30 days, newest first; looked at every 10 seconds.",
        "Ce qui a changé depuis 30 jours, le plus récent d'abord ; examiné toutes les 10 secondes.",
    ),
    "history_empty": Text("Nothing has changed yet.", "Rien n'a encore changé."),
    "history_unwritten": Text(
        "Seen by this process since the database is away; written down once it is back.",
        "Vu par ce processus depuis que la base est injoignable ; sera noté à son retour.",
    ),
    "became": Text("then", "puis"),
    "first_seen": Text("seen first as", "vu d'abord comme"),
}
