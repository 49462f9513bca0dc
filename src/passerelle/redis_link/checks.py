"""The examination of one Redis, layer by layer, without the gateway (reference/redis.md §4.2)."""

from passerelle.diagnostics.model import Finding, Level
from passerelle.diagnostics.ports import Check
from passerelle.errors import Text
from passerelle.redaction import Redactor
from passerelle.redis_link.layers.login import AuthLayer
from passerelle.redis_link.layers.patient import Patient
from passerelle.redis_link.layers.speech import SpeaksLayer
from passerelle.redis_link.layers.state import InfoLayer
from passerelle.redis_link.layers.tls import TlsLayer
from passerelle.redis_link.layers.way import NameLayer, TcpLayer
from passerelle.redis_link.layers.write import WriteLayer
from passerelle.redis_link.setting import RedisSetting

LAYERS = (NameLayer, TcpLayer, TlsLayer, SpeaksLayer, AuthLayer, InfoLayer, WriteLayer)


class RedisSettingCheck:
    """See `Check`. What was wrong with the setting when it was read."""

    name = "redis_setting"
    group = "environment"
    title = Text("The setting of Redis", "Le réglage de Redis")
    needs: tuple[str, ...] = ()

    def __init__(self, setting: RedisSetting) -> None:
        """Look at `setting`."""
        self._setting = setting

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        found = list(self._setting.findings)
        if self._setting.url is None or any(each.level is not Level.SKIPPED for each in found):
            return found
        what = Text("The setting of Redis can be used.", "Le réglage de Redis est utilisable.")
        return [Finding(id="REDIS_SETTING", level=Level.OK, what=what, evidence=self._setting.shown), *found]


def redis_checks(setting: RedisSetting, redactor: Redactor) -> list[Check]:
    """The checks for one examination of the Redis behind `setting`, about 2 s at most; made anew for the next one."""
    for secret in setting.secrets:
        redactor.add(secret)
    patient = Patient(setting, redactor)
    return [RedisSettingCheck(setting), *(layer(patient) for layer in LAYERS)]
