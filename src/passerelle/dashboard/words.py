"""The words that all pages share, in the two languages we speak."""

from passerelle.errors import Text

BASE = "/dashboard"
LOGIN = f"{BASE}/login"
MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "fr": ("janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."),
}
UNITS = {"en": ("bytes", "kB", "MB", "GB"), "fr": ("octets", "ko", "Mo", "Go")}
WORDS = {
    "skip": Text("Skip to the content", "Aller au contenu"),
    "menu": Text("Menu", "Menu"),
    "close_menu": Text("Close the menu", "Fermer le menu"),
    "other_language": Text("Français", "English"),
    "log_out": Text("Log out", "Se déconnecter"),
    "overview": Text("Overview", "Vue d'ensemble"),
    "link_a_phone": Text("Link a phone", "Lier un téléphone"),
    "linked_phones": Text("Linked phones", "Téléphones liés"),
    "messages": Text("Messages", "Messages"),
    "leads": Text("Leads", "Demandes"),
    "contractors": Text("Contractors", "Artisans"),
    "media": Text("Media", "Médias"),
    "inbox": Text("Inbox", "Réception"),
    "work": Text("Long work", "Travaux longs"),
    "webhooks": Text("Webhooks", "Webhooks"),
    "clients": Text("Clients and keys", "Clients et clés"),
    "health": Text("Health", "Santé"),
    "phones": Text("Sandbox phones", "Téléphones d'essai"),
    "story": Text("Guided tour", "Visite guidée"),
    "sandbox": Text("SANDBOX", "SANDBOX"),
    "sandbox_note": Text(
        "Simulated WhatsApp: nothing leaves this machine.", "WhatsApp simulé : rien ne quitte cette machine."
    ),
    "section_use": Text("Every day", "Au quotidien"),
    "section_look": Text("Operation", "Exploitation"),
    "section_try": Text("Try it out", "Essayer"),
    "offline": Text(
        "The gateway does not answer just now. This page goes on by itself as soon as it does.",
        "La passerelle ne répond pas pour l'instant. Cette page reprendra d'elle-même.",
    ),
    "wait": Text("Wait {time} before you try again.", "Attendez {time} avant de réessayer."),
    "trouble_title": Text("Not just now", "Pas pour l'instant"),
    "trouble_away": Text("This page comes back by itself.", "Cette page revient d'elle-même."),
    "trouble_back": Text("Back to the overview", "Retour à la vue d'ensemble"),
    "more": Text("Older ones", "Plus anciens"),
    "newest": Text("Back to the newest", "Revenir aux plus récents"),
    "number": Text("Phone number", "Numéro de téléphone"),
    "number_hint": Text("With the country code, for instance {example}", "Avec l'indicatif, par exemple {example}"),
    "user": Text("User", "Utilisateur"),
    "state": Text("State", "État"),
    "none": Text("–", "–"),
    "all": Text("All", "Tous"),
    "save": Text("Save", "Enregistrer"),
    "copy": Text("Copy", "Copier"),
    "copied": Text("Copied", "Copié"),
    # what a message is
    "type_text": Text("text", "texte"),
    "type_image": Text("image", "image"),
    "type_video": Text("video", "vidéo"),
    "type_audio": Text("audio", "audio"),
    "type_document": Text("document", "document"),
    "type_template": Text("template", "modèle"),
    "type_status": Text("status", "statut"),
    # how linked phones stand
    "state_pairing": Text("Linking", "Liaison"),
    "state_connecting": Text("Connecting", "Connexion"),
    "state_connected": Text("Connected", "Connecté"),
    "state_disconnected": Text("Disconnected", "Déconnecté"),
    "state_paused": Text("Paused", "En pause"),
    "state_logged_out": Text("Unlinked", "Délié"),
    # how the gateway is
    "health_healthy": Text("All is well", "Tout va bien"),
    "health_degraded": Text("It works, something should be mended", "Cela marche, à corriger toutefois"),
    "health_unhealthy": Text("A part is away", "Une partie est indisponible"),
    "source_redis": Text("Redis", "Redis"),
    "source_sql": Text("SQL", "SQL"),
    "source_file": Text("files", "fichiers"),
    "source_memory": Text("memory", "mémoire"),
}
