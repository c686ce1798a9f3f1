"""What Envoy loads: the application, by the settings in the environment."""

from conexiones.app import build
from conexiones.settings import Settings
from conexiones.transport import logs
from conexiones.transport.home import Home

settings = Settings.load()
logs.configure(settings.log_level)
app = Home(build(settings))
