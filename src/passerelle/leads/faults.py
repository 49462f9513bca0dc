"""What may be said to somebody who wants something of leads, contractors and links."""

from passerelle.errors import Conflict, Invalid, NotFound, Text, Unavailable


class InvalidLead(Invalid):
    """A field that cannot be kept; the member `field` says which."""

    code = "invalid_lead"
    text = Text("A field of the lead cannot be taken.", "Un champ de la demande ne peut pas être accepté.")
    hint = Text(
        "name: 1 to 200 characters, trade and area: 1 to 100, description: up to 2000; no control characters.",
        "name : 1 à 200 caractères, trade et area : 1 à 100, description : 2000 au plus ; pas de caractères de"
        " contrôle.",
    )


class InvalidContractor(Invalid):
    """A field that cannot be kept; the member `field` says which."""

    code = "invalid_contractor"
    text = Text("A field of the contractor cannot be taken.", "Un champ de l'artisan ne peut pas être accepté.")
    hint = Text(
        "name: 1 to 200 characters; up to 100 trades and areas of 1 to 100 characters; capacity: 1 to 10000.",
        "name : 1 à 200 caractères ; jusqu'à 100 métiers et zones de 1 à 100 caractères ; capacity : 1 à 10000.",
    )


class InvalidCursor(Invalid):
    """Not a cursor of ours."""

    code = "invalid_cursor"
    text = Text("This cursor was not made here.", "Ce curseur ne vient pas d'ici.")
    hint = Text("Send next_cursor of the page before.", "Envoyez le next_cursor de la page précédente.")


class UnknownLead(NotFound):
    """No lead of this client has that id."""

    code = "lead_not_found"
    text = Text("There is no such lead.", "Cette demande n'existe pas.")
    hint = Text("List them with GET /api/leads.", "Listez-les avec GET /api/leads.")


class UnknownContractor(NotFound):
    """No contractor of this client has that id."""

    code = "contractor_not_found"
    text = Text("There is no such contractor.", "Cet artisan n'existe pas.")
    hint = Text("List them with GET /api/contractors.", "Listez-les avec GET /api/contractors.")


class EarlierRow(Conflict):
    """A row of an adopted table: shown, never touched."""

    code = "lead_from_before"
    text = Text(
        "This lead was in your table before the gateway: it is only shown.",
        "Cette demande était dans votre table avant la passerelle : elle est seulement affichée.",
    )
    hint = Text(
        "Change it where it was made, or ask anew with POST /api/leads.",
        "Modifiez-la là où elle a été créée, ou recréez-la avec POST /api/leads.",
    )


class LeadClosed(Conflict):
    """It is closed and cannot change any more."""

    code = "lead_closed"
    text = Text("This lead is closed.", "Cette demande est close.")
    hint = Text("Ask anew with POST /api/leads.", "Recréez-la avec POST /api/leads.")


class LeadNotConfirmed(Conflict):
    """Its customer has not confirmed, so nobody can have it yet."""

    code = "lead_not_confirmed"
    text = Text("The customer has not confirmed this lead yet.", "Le client n'a pas encore confirmé cette demande.")
    hint = Text("Send the customer confirm_url.", "Envoyez confirm_url au client.")


class ContractorInactive(Conflict):
    """He gets no leads for now."""

    code = "contractor_inactive"
    text = Text("This contractor is not active.", "Cet artisan n'est pas actif.")
    hint = Text("Choose another, or set active to true.", "Choisissez-en un autre, ou passez active à true.")


class ContractorFull(Conflict):
    """He has as many open leads as he can take."""

    code = "contractor_full"
    text = Text("This contractor has no capacity left.", "Cet artisan n'a plus de capacité.")
    hint = Text(
        "Close one of his leads, raise his capacity, or choose another.",
        "Clôturez une de ses demandes, augmentez sa capacité, ou choisissez-en un autre.",
    )


class CapacityInUse(Conflict):
    """More leads are open than the new capacity allows; the member `open_leads` says how many."""

    code = "capacity_in_use"
    text = Text("This contractor has more open leads than that.", "Cet artisan a plus de demandes ouvertes que cela.")
    hint = Text("Close or take away some of his leads first.", "Clôturez ou retirez d'abord certaines de ses demandes.")


class LeadsTableUnfit(Unavailable):
    """The adopted table wants what we cannot give; the finding LEADS_COLUMN says which column."""

    code = "leads_table_unfit"
    text = Text(
        "The table leads has a column that the gateway cannot fill.",
        "La table leads a une colonne que la passerelle ne peut pas remplir.",
    )
    hint = Text(
        "The operator must give that column a default, or allow NULL; see the finding LEADS_COLUMN.",
        "L'exploitant doit donner une valeur par défaut à cette colonne, ou permettre NULL ; voir LEADS_COLUMN.",
    )


class LeadsTableRefused(Conflict):
    """A rule of the adopted table (a key, a check, a trigger) said no: nothing was changed."""

    code = "leads_table_refused"
    text = Text(
        "The table leads refused this; nothing was changed.", "La table leads l'a refusé ; rien n'a été modifié."
    )
    hint = Text(
        "Look at the table's own constraints and triggers, and at what points to this row.",
        "Regardez les contraintes et déclencheurs de la table, et ce qui pointe vers cette ligne.",
    )


class LinkForged(Invalid):
    """Not a link of ours."""

    code = "link_forged"
    text = Text("This link is not valid.", "Ce lien n'est pas valide.")
    hint = Text("Use the link exactly as you received it.", "Utilisez le lien exactement comme vous l'avez reçu.")


class LinkExpired(Conflict):
    """It was good once: too old by now, or its lead is gone."""

    code = "link_expired"
    text = Text("This link has expired.", "Ce lien a expiré.")
    hint = Text("Ask for a new one.", "Demandez-en un nouveau.")
