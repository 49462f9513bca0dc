"""What may be said to somebody who wants something of webhooks."""

from passerelle.errors import Conflict, Invalid, NotFound, Text, Unavailable


class UnknownEndpoint(NotFound):
    """No endpoint of this client has that id."""

    code = "webhook_not_found"
    text = Text("There is no such webhook.", "Ce webhook n'existe pas.")
    hint = Text("List them with GET /api/webhooks.", "Listez-les avec GET /api/webhooks.")


class UnknownDelivery(NotFound):
    """The endpoint has no delivery of that id (any more)."""

    code = "delivery_not_found"
    text = Text("There is no such delivery.", "Cette livraison n'existe pas.")
    hint = Text(
        "List them with GET /api/webhooks/{id}/deliveries; delivered ones are kept for 7 days.",
        "Listez-les avec GET /api/webhooks/{id}/deliveries ; celles livrées sont conservées 7 jours.",
    )


class UnknownEventType(Invalid):
    """An event that never happens; the member `known` lists those that do."""

    code = "unknown_event_type"
    text = Text("There is no event of this type.", "Il n'y a pas d'événement de ce type.")
    hint = Text("Choose from known; an empty list means all.", "Choisissez dans known ; une liste vide signifie tous.")


class TooManyEndpoints(Conflict):
    """The client has as many as it may have."""

    code = "too_many_webhooks"
    text = Text("A client has at most 50 webhooks.", "Un client a au plus 50 webhooks.")
    hint = Text("Remove one first, or give one more events.", "Supprimez-en un d'abord, ou élargissez-en un.")


class EndpointOff(Conflict):
    """Nothing is sent there just now; the member `reason` says why."""

    code = "webhook_off"
    text = Text("This webhook is switched off.", "Ce webhook est désactivé.")
    hint = Text("Set active to true first (PATCH).", "Passez d'abord active à true (PATCH).")


class InvalidCursor(Invalid):
    """Not a cursor of ours."""

    code = "invalid_cursor"
    text = Text("This cursor was not made here.", "Ce curseur ne vient pas d'ici.")
    hint = Text("Send next_cursor of the page before.", "Envoyez le next_cursor de la page précédente.")


class SecretLost(Unavailable):
    """The key that the endpoint's secret is derived from is not the one that we have now."""

    code = "webhook_secret_lost"
    text = Text(
        "PASSERELLE_SECRET_KEY has changed since this webhook's secret was made.",
        "PASSERELLE_SECRET_KEY a changé depuis la création du secret de ce webhook.",
    )
    hint = Text(
        "Make a new secret: POST /api/webhooks/{id}/secret.",
        "Créez un nouveau secret : POST /api/webhooks/{id}/secret.",
    )
