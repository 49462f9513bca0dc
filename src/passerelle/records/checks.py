"""Is everything that we know of where it belongs?"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.records.care import Care, Standing
from passerelle.records.home import HOMES
from passerelle.records.model import CollectionKey, Source


class DataInRedis:
    """Records at their home, nothing lost, nothing waiting for long."""

    name = "data_in_redis"
    group = "data_in_redis"
    title = Text("Records are in Redis", "Les données sont dans Redis")
    needs: tuple[str, ...] = ()

    def __init__(self, care: Care, *, suspicions: Callable[[], dict[CollectionKey, set[str]]], files: Path) -> None:
        """Look through `care`; JSON records of an earlier life may lie in `files`."""
        self._care = care
        self._suspicions = suspicions
        self._files = files

    async def run(self) -> list[Finding]:
        """Where the records are."""
        source, standings = await self._care.verify()
        lost = {key.name: len(ids) for key, ids in self._suspicions().items()}
        if lost:
            return [_suspect(lost)]
        if self._care.source is not Source.REDIS:
            return [_elsewhere(self._care.source, standings)]
        if source is Source.MEMORY:
            return [_from_memory(standings)]
        waiting = [one.name for one in standings if not one.at_home]
        found = [_waiting(waiting)] if waiting else [_fine(standings)]
        return [*found, *([_left_in_files()] if await asyncio.to_thread(self._has_files) else [])]

    def _has_files(self) -> bool:
        return any(self._files.glob("*/*.json"))


def _counts(standings: list[Standing]) -> str:
    return ", ".join(f"{one.name} {one.count}" for one in standings)


def _fine(standings: list[Standing]) -> Finding:
    what = Text("All records are in Redis.", "Toutes les données sont dans Redis.")
    return Finding(id="DATA_IN_REDIS", level=Level.OK, what=what, evidence=_counts(standings))


def _elsewhere(source: Source, standings: list[Standing]) -> Finding:
    return Finding(
        id="RECORDS_ELSEWHERE",
        level=Level.SKIPPED,
        what=Text(
            f"Records live in {HOMES[source]}: no Redis is configured.",
            f"Les données vivent dans {'les fichiers' if source is Source.FILE else 'SQL'} : "
            "aucun Redis n'est configuré.",
        ),
        evidence=_counts(standings),
    )


def _from_memory(standings: list[Standing]) -> Finding:
    return Finding(
        id="RECORDS_FROM_MEMORY",
        level=Level.WARNING,
        what=Text(
            "Redis cannot be asked: records are read from memory, and changes are refused.",
            "Redis ne répond pas : les données viennent de la mémoire et les modifications sont refusées.",
        ),
        cause=Text(
            "Redis is away, or holds something at our keys that is not ours (the log says which).",
            "Redis est absent, ou contient à nos clés ce qui n'est pas de nous (le journal dit quoi).",
        ),
        fix=Text("Mend Redis; nothing else is to be done.", "Réparez Redis ; il n'y a rien d'autre à faire."),
        evidence=_counts(standings),
    )


def _waiting(names: list[str]) -> Finding:
    return Finding(
        id="FACTS_WAITING",
        level=Level.WARNING,
        what=Text(
            "Something that happened is not in Redis yet; it waits in SQL and is not lost.",
            "Un événement n'est pas encore dans Redis ; il attend dans SQL et n'est pas perdu.",
        ),
        cause=Text("Redis was away, or takes no writes.", "Redis était absent, ou refuse les écritures."),
        fix=Text("Nothing, if it goes within seconds; else mend Redis.", "Rien si cela passe ; sinon réparez Redis."),
        evidence=", ".join(names),
    )


def _suspect(lost: dict[str, int]) -> Finding:
    return Finding(
        id="RECORDS_SUSPECT",
        level=Level.ERROR,
        what=Text(
            "Redis came back with less data than it had; nothing is written to what it lost.",
            "Redis est revenu avec moins de données ; plus rien n'est écrit dans ce qu'il a perdu.",
        ),
        cause=Text(
            "It was emptied, restarted without persistence, or is another server than before.",
            "Il a été vidé, redémarré sans persistance, ou c'est un autre serveur qu'avant.",
        ),
        fix=Text(
            "`passerelle records restore` brings the data back as it was seen last; `passerelle records accept` gives"
            " it up.",
            "« passerelle records restore » ramène les données vues en dernier ; « passerelle records accept » y"
            " renonce.",
        ),
        evidence=", ".join(f"{name}: {count}" for name, count in sorted(lost.items())),
    )


def _left_in_files() -> Finding:
    return Finding(
        id="RECORDS_IN_FILES",
        level=Level.WARNING,
        what=Text(
            "The data directory holds JSON records of the time before Redis.",
            "Le répertoire de données contient des fichiers JSON d'avant Redis.",
        ),
        cause=Text("Redis was configured later.", "Redis a été configuré plus tard."),
        fix=Text(
            "`passerelle records import DATA_DIR/records`, then move the folder away.",
            "« passerelle records import DATA_DIR/records », puis déplacez le dossier.",
        ),
    )
