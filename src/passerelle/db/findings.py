"""What can be wrong with the database, in words."""

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text

DB_AWAY = Finding(
    id="DB_AWAY",
    level=Level.ERROR,
    what=Text("The database does not answer.", "La base de données ne répond pas."),
    cause=Text(
        "It is stopped or starting, cannot be reached from here, or its disk fails.",
        "Elle est arrêtée ou en cours de démarrage, inaccessible d'ici, ou son disque est défaillant.",
    ),
    fix=Text(
        "Start it; check host and port in DATABASE_URL and the firewall between. What waits goes on by itself.",
        "Démarrez-la ; vérifiez l'hôte et le port dans DATABASE_URL et le pare-feu. Le reste reprend tout seul.",
    ),
)
DB_BUSY = Finding(
    id="DB_BUSY",
    level=Level.WARNING,
    what=Text("Every connection to the database is in use.", "Toutes les connexions à la base sont occupées."),
    cause=Text(
        "More is asked at once than the database answers in 2 s.",
        "On demande plus à la fois que la base n'en traite en 2 s.",
    ),
    fix=Text(
        "Look for slow statements and for the load of the database's machine.",
        "Cherchez les requêtes lentes et vérifiez la charge de la machine de la base.",
    ),
)
DB_REFUSED = Finding(
    id="DB_REFUSED",
    level=Level.ERROR,
    what=Text("The database does not let us in.", "La base de données nous refuse l'accès."),
    cause=Text(
        "User, password or the name of the database in DATABASE_URL is wrong.",
        "L'utilisateur, le mot de passe ou le nom de la base dans DATABASE_URL est faux.",
    ),
    fix=Text(
        "Copy DATABASE_URL from your provider again, or make the user and the database.",
        "Recopiez DATABASE_URL depuis votre hébergeur, ou créez l'utilisateur et la base.",
    ),
)
DB_NOT_MIGRATED = Finding(
    id="DB_NOT_MIGRATED",
    level=Level.ERROR,
    what=Text("The tables are older than this program.", "Les tables sont plus anciennes que ce programme."),
    cause=Text(
        "The database was put back to an earlier state, or was never upgraded.",
        "La base a été remise dans un état antérieur, ou n'a jamais été mise à niveau.",
    ),
    fix=Text("Run: passerelle db upgrade, or restart.", "Lancez : passerelle db upgrade, ou redémarrez."),
)
DB_TABLES_NEWER = Finding(
    id="DB_TABLES_NEWER",
    level=Level.WARNING,
    what=Text("The tables are newer than this program.", "Les tables sont plus récentes que ce programme."),
    cause=Text(
        "A newer version of Passerelle has worked on this database.",
        "Une version plus récente de Passerelle a travaillé sur cette base.",
    ),
    fix=Text("Start that version everywhere.", "Démarrez cette version partout."),
)
DB_FSYNC_OFF = Finding(
    id="DB_FSYNC_OFF",
    level=Level.WARNING,
    what=Text(
        "PostgreSQL runs with fsync=off: a power cut may destroy it.",
        "PostgreSQL tourne avec fsync=off : une coupure de courant peut le détruire.",
    ),
    cause=Text("Somebody made it faster at the price of its data.", "On l'a accéléré au prix de ses données."),
    fix=Text("Set fsync=on in postgresql.conf and reload.", "Mettez fsync=on dans postgresql.conf et rechargez."),
)
DB_SYNC_COMMIT_OFF = Finding(
    id="DB_SYNC_COMMIT_OFF",
    level=Level.WARNING,
    what=Text(
        "PostgreSQL runs with synchronous_commit=off: a crash forgets what was promised last.",
        "PostgreSQL tourne avec synchronous_commit=off : une panne oublie les dernières promesses.",
    ),
    cause=Text(
        "It is set for the server, the database or the user; a message may then be sent twice after a crash.",
        "C'est réglé pour le serveur, la base ou l'utilisateur ; un message peut alors partir deux fois.",
    ),
    fix=Text(
        "Set synchronous_commit=on where SHOW synchronous_commit says off.",
        "Mettez synchronous_commit=on là où SHOW synchronous_commit répond off.",
    ),
)
DB_DAMAGED = Finding(
    id="DB_DAMAGED",
    level=Level.ERROR,
    what=Text("The SQLite file is damaged.", "Le fichier SQLite est endommagé."),
    cause=Text(
        "A failing disk, a network drive, or a copy made while the gateway was running.",
        "Un disque défaillant, un lecteur réseau, ou une copie faite pendant que la passerelle tournait.",
    ),
    fix=Text(
        "Stop the gateway, keep the file aside and put the last backup back, or try: sqlite3 FILE .recover",
        "Arrêtez la passerelle, mettez le fichier de côté et restaurez, ou essayez : sqlite3 FICHIER .recover",
    ),
)
DB_TOO_LARGE = Finding(
    id="DB_TOO_LARGE",
    level=Level.SKIPPED,
    what=Text(
        "The SQLite file was not looked through to its end.", "Le fichier SQLite n'a pas été examiné jusqu'au bout."
    ),
    cause=Text("It is too large for the few seconds of a check.", "Il est trop gros pour les secondes imparties."),
    fix=Text("To be sure: sqlite3 FILE 'PRAGMA quick_check'", "Pour être sûr : sqlite3 FICHIER 'PRAGMA quick_check'"),
)
DATABASE_URL_WRONG = Finding(
    id="DATABASE_URL_WRONG",
    level=Level.ERROR,
    what=Text("DATABASE_URL cannot be read.", "DATABASE_URL est illisible."),
    cause=Text(
        "It is no address of a database: mistyped, cut off, or with characters of the password not encoded.",
        "Ce n'est pas l'adresse d'une base : mal tapée, coupée, ou avec un mot de passe non encodé.",
    ),
    fix=Text(
        "Write postgresql://USER:PASSWORD@HOST:5432/NAME or sqlite:///PATH, or take it away for SQLite.",
        "Écrivez postgresql://USER:MOTDEPASSE@HOTE:5432/NOM ou sqlite:///CHEMIN, ou retirez-la pour SQLite.",
    ),
)
